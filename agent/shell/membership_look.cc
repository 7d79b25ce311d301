#include "agent/shell/membership_look.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

constexpr std::string_view kConsensus = "totem.consensus";
constexpr std::string_view kInForce = "runtime.config.totem.consensus";  // also where the other is not set
constexpr std::string_view kNote = "hapair-look.consensus";
constexpr unsigned kTries = 10;
constexpr Duration kLongestAnswer = std::chrono::seconds(3);  // of each question: Corosync answers from memory

// Of corosync-cmapctl's list, "NAME (TYPE) = VALUE" each; empty where it is not there.
std::string_view value_in(std::string_view list, std::string_view name, std::string_view type) {
  const std::string begin = std::string(name) + " (" + std::string(type) + ") = ";
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find('\n', at), list.size());
    const std::string_view line = list.substr(at, end - at);
    at = end + 1;
    if (line.starts_with(begin)) return line.substr(begin.size());
  }
  return {};
}

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t number = 0;
  const char* end = std::to_address(text.end());
  const auto [stop, error] = std::from_chars(std::to_address(text.begin()), end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

std::optional<std::uint32_t> number_in(std::string_view list, std::string_view name) {
  return number_of(value_in(list, name, "u32"));
}

bool went_well(const ProcessResult& result) { return result.end == ProcessResult::End::exited && result.code == 0; }

std::string not_lowered(const ProcessResult& result) {
  return "Corosync's totem.consensus could not be lowered for a look at its members, so it waits as long as ever for "
         "one that does not answer: " +
         objection_of(result, "corosync-cmapctl");
}

}  // namespace

MembershipLook::MembershipLook(const Parts& parts, Done done, Trouble trouble)
    : parts_(parts), done_(std::move(done)), trouble_(std::move(trouble)) {}

void MembershipLook::ask(std::vector<std::string> arguments, Answer answer) {
  arguments.insert(arguments.begin(), parts_.config->cmapctl);
  ProcessSpec spec{.argv = std::move(arguments),
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                   .input = "",
                   .timeout = std::min(parts_.config->timeout, kLongestAnswer),
                   .what = "asking Corosync"};
  running_ = parts_.runner->run(std::move(spec), [this, answer](const ProcessResult& result) {
    const auto ended = std::move(running_);  // lives until its callback, this one, is over
    (this->*answer)(result);
  });
}

void MembershipLook::take_up() {
  takes_up_ = true;
  ask({}, &MembershipLook::found);
}

void MembershipLook::look() {
  if (!looks_ && !wanted_) began_ = parts_.clock->now();
  if (!looks_ && looked_at_ && parts_.clock->now() < *looked_at_ + parts_.pause) {
    refused_ = call_soon(parts_.loop, on_refused, this);
    return;
  }
  wanted_ = true;
  if (running_ != nullptr || looks_) return;  // its end goes on here
  wanted_ = takes_up_ = false;                // a look finds what was left, too
  looks_ = true;
  timer_.reset();
  ask({}, &MembershipLook::found);
}

int MembershipLook::on_refused(sd_event_source*, void* context) {
  auto* self = static_cast<MembershipLook*>(context);
  self->refused_.reset();
  self->done_("it has looked just before", self->parts_.clock->now() - self->began_);
  return 0;
}

void MembershipLook::found(const ProcessResult& result) {
  const std::string_view note = value_in(result.out, kNote, "str");
  const std::size_t space = note.find(' ');
  const auto before = number_of(note.substr(0, space));
  const auto to = space == std::string_view::npos ? std::nullopt : number_of(note.substr(space + 1));
  if (before && to) lowered_ = Lowered{*before, *to};
  if (std::exchange(takes_up_, false)) {
    // One that hangs may have something lowered; where there is none, nothing is.
    if (result.end == ProcessResult::End::timed_out && ++tries_ < kTries) {
      takes_up_ = true;
      return put_back_later();
    }
    return end("");
  }
  if (!went_well(result)) return end(objection_of(result, "corosync-cmapctl"));
  const auto set = number_in(result.out, kConsensus);
  const auto in_force = set ? set : number_in(result.out, kInForce);
  const auto wanted = static_cast<std::uint32_t>(parts_.config->consensus / std::chrono::milliseconds(1));
  if (in_force && *in_force <= wanted) return gather();
  if (!lowered_) lowered_ = Lowered{set.value_or(0), 0};
  lowered_->to_ms = wanted;
  ask({"-s", std::string(kNote), "str", std::to_string(lowered_->before_ms) + " " + std::to_string(wanted)},
      &MembershipLook::noted);
}

void MembershipLook::noted(const ProcessResult& result) {
  if (!went_well(result)) {  // what cannot be put back is not lowered
    lowered_.reset();
    trouble_(not_lowered(result));
    return gather();
  }
  ask({"-s", std::string(kConsensus), "u32", std::to_string(lowered_->to_ms)}, &MembershipLook::lowered);
}

void MembershipLook::lowered(const ProcessResult& result) {
  if (!went_well(result)) trouble_(not_lowered(result));
  gather();
}

void MembershipLook::gather() { ask({"-s", "runtime.force_gather", "str", "yes"}, &MembershipLook::gathered); }

void MembershipLook::gathered(const ProcessResult& result) {
  end(went_well(result) ? "" : objection_of(result, "corosync-cmapctl"));
}

void MembershipLook::end(const std::string& said) {
  const bool looked = std::exchange(looks_, false);
  if (lowered_) {
    tries_ = 0;
    put_back_later();
  }
  if (looked) {
    wanted_ = false;
    looked_at_ = parts_.clock->now();
    done_(said, *looked_at_ - began_);
  } else if (wanted_) {
    look();
  }
}

void MembershipLook::put_back_later() {
  timer_ = call_at(parts_.loop, parts_.clock->now() + parts_.after, on_put_back, this);
}

int MembershipLook::on_put_back(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<MembershipLook*>(context);
  self->ask({}, self->takes_up_ ? &MembershipLook::found : &MembershipLook::put_back);
  return 0;
}

void MembershipLook::put_back(const ProcessResult& result) {
  if (!went_well(result)) return was_put_back(result);
  // Gone with a Corosync that has ended; or somebody has set it anew meanwhile, and knows why.
  if (value_in(result.out, kNote, "str").empty()) return forgotten(result);
  if (number_in(result.out, kConsensus) != lowered_->to_ms) return forget();
  if (lowered_->before_ms == 0) return ask({"-d", std::string(kConsensus)}, &MembershipLook::was_put_back);
  ask({"-s", std::string(kConsensus), "u32", std::to_string(lowered_->before_ms)}, &MembershipLook::was_put_back);
}

void MembershipLook::was_put_back(const ProcessResult& result) {
  if (went_well(result)) return forget();
  if (wanted_) return end("");
  if (++tries_ < kTries) return put_back_later();
  trouble_("Corosync's totem.consensus was lowered for a look at its members and could not be put back: " +
           objection_of(result, "corosync-cmapctl") +
           ". If Corosync runs, have it read its configuration again (corosync-cfgtool -R)");
  lowered_.reset();
}

void MembershipLook::forget() { ask({"-d", std::string(kNote)}, &MembershipLook::forgotten); }

void MembershipLook::forgotten(const ProcessResult&) {
  lowered_.reset();
  end("");
}

}  // namespace hapair::agent
