#include "agent/shell/fencer.h"

#include <cstring>
#include <optional>
#include <utility>

#include "agent/shell/printable.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

// FenceAgentAPI, "Return codes".
constexpr int kSuccess = 0;
constexpr int kGenericError = 1;
constexpr int kStatusOff = 2;

std::string words_of(const ProcessResult& result) {
  std::string line = printable_line(last_line(result.err));
  if (line.empty()) line = printable_line(last_line(result.out));
  return line.empty() ? "" : ": " + line;
}

// How a call ended that gave no usable answer; nothing where it exited.
std::optional<std::string> without_answer(std::string_view action, const ProcessResult& result) {
  const std::string what = "\"" + std::string(action) + "\" ";
  switch (result.end) {
    case ProcessResult::End::exited:
      return std::nullopt;
    case ProcessResult::End::could_not_start:
      return result.reason;
    case ProcessResult::End::timed_out:
      return what + "gave no answer (" + result.reason + ")" + words_of(result);
    case ProcessResult::End::signalled:
      return what + "was ended by " + signal_name(result.code) + words_of(result);
  }
  return std::nullopt;
}

struct PoisonEnd {
  FenceResult result = FenceResult::unknown;
  std::string reason;
};

// Nothing while there is more to come.
std::optional<PoisonEnd> end_of_poison(const PoisonNews& news, const std::string& partner) {
  using ccm::PoisonProgress;
  if (news.own_ccm_lost) {
    return PoisonEnd{FenceResult::unknown, "this node's own ccmd was lost before " + partner + " had answered"};
  }
  switch (news.progress) {
    case PoisonProgress::none:
    case PoisonProgress::written:
    case PoisonProgress::accepted:
    case PoisonProgress::resetting:
      return std::nullopt;
    case PoisonProgress::stopped:
      return PoisonEnd{FenceResult::confirmed, ""};
    case PoisonProgress::cannot: {
      const std::string errno_of = news.error == 0 ? "" : std::string(": ") + std::strerror(news.error);
      return PoisonEnd{FenceResult::unknown, "a pool does not stop on " + partner + ", and it cannot reset itself (" +
                                                 std::string(text_of(news.reason)) + errno_of +
                                                 "); see hapair status there, or switch it off"};
    }
    case PoisonProgress::no_rail:
      return PoisonEnd{FenceResult::failed, "no rail to " + partner + " is connected, so it was not told"};
    case PoisonProgress::not_known:
      return PoisonEnd{FenceResult::failed, "refused: the ccmd of " + partner +
                                                " does not know poison; install the same version on both nodes"};
    case PoisonProgress::lost:
      return PoisonEnd{FenceResult::unknown, "every rail to " + partner + " was lost before it answered"};
    case PoisonProgress::restarted:
      return PoisonEnd{FenceResult::unknown, "the ccmd of " + partner + " restarted before it answered"};
    case PoisonProgress::rebooted:
      return PoisonEnd{FenceResult::unknown, partner + " was reset before it answered: its new boot id is the proof"};
  }
  return std::nullopt;
}

}  // namespace

std::string sentence_of(const FenceStep& step) {
  const bool poison = step.method == FenceKind::poison;
  switch (step.kind) {
    case FenceStep::Kind::waiting:
      return step.device + ": waits its configured delay";
    case FenceStep::Kind::acting:
      return step.device + (poison ? ": the partner's ccmd is told to stop every pool there" : ": its agent runs");
    case FenceStep::Kind::taken:
      return step.device + ": the partner's ccmd has the order, and its agent is to stop the pools";
    case FenceStep::Kind::resets:
      return step.device + ": the pools did not stop, so the partner resets itself; that it did shows when it boots";
    case FenceStep::Kind::checking:
      return step.device + ": reports success; it is asked for the status";
    case FenceStep::Kind::answered:
      break;
  }
  std::string text = step.device + ": answered ";
  text += text_of(step.result);
  text += " after " + std::to_string(step.took / std::chrono::milliseconds(1)) + " ms";
  return step.reason.empty() ? text : text + ": " + step.reason;
}

Fencer::Fencer(ProcessRunner& runner, sd_event* loop, const Clock& clock, const FencingConfig& config,
               Poisoner& poisoner)
    : runner_(&runner), loop_(loop), clock_(&clock), config_(&config), poisoner_(&poisoner) {}

void Fencer::fence(const NodeName& target, OnStep on_step, Done done) {
  HAPAIR_CHECK(idle(), "one round of fencing at a time");
  round_ = std::make_unique<Round>();
  round_->target = target;
  round_->on_step = std::move(on_step);
  round_->done = std::move(done);
  round_->started_at = clock_->now();
  timer_ = call_soon(loop_, on_begin, this);
}

int Fencer::on_begin(sd_event_source*, void* context) {
  auto* self = static_cast<Fencer*>(context);
  self->timer_.reset();
  if (self->config_->devices.empty()) {
    self->round_->reasons = "no fencing device is configured";
    self->finish(FenceResult::failed);
  } else {
    self->begin_device();
  }
  return 0;
}

void Fencer::abandon() {
  timer_.reset();
  running_.reset();
  poisoner_->withdraw_poison();
  round_.reset();
}

void Fencer::begin_device() {
  round_->device_started_at = clock_->now();
  round_->last_device = device().name;
  if (device().delay == Duration::zero()) {
    act();
    return;
  }
  report_step(FenceStep::Kind::waiting);
  timer_ = call_at(loop_, round_->device_started_at + device().delay, on_timer, this);
}

int Fencer::on_timer(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<Fencer*>(context);
  self->timer_.reset();
  self->act();
  return 0;
}

void Fencer::act() {
  report_step(FenceStep::Kind::acting);
  if (device().kind == FenceKind::poison) return give_poison();
  run_agent(text_of(device().action), &Fencer::acted);
}

// ---- poison --------------------------------------------------------------------------------------------------------

void Fencer::give_poison() {
  const bool given = poisoner_->poison([this](const PoisonNews& news) { hear_of_poison(news); });
  if (!given) {
    return device_answered(FenceResult::failed, "this node's ccmd is not there, so the partner was not told; start it");
  }
  timer_ = call_at(loop_, clock_->now() + device().timeout, on_poison_timeout, this);
}

int Fencer::on_poison_timeout(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<Fencer*>(context);
  self->timer_.reset();
  self->poisoner_->withdraw_poison();
  self->device_answered(
      FenceResult::unknown,
      self->round_->target.text() + "'s ccmd has not answered in time (timeout_ms): its pools may run or not");
  return 0;
}

void Fencer::hear_of_poison(const PoisonNews& news) {
  if (!news.own_ccm_lost && news.progress == ccm::PoisonProgress::accepted) return report_step(FenceStep::Kind::taken);
  if (!news.own_ccm_lost && news.progress == ccm::PoisonProgress::resetting) {
    return report_step(FenceStep::Kind::resets);
  }
  const auto end = end_of_poison(news, round_->target.text());
  if (!end) return;
  timer_.reset();
  poisoner_->withdraw_poison();
  device_answered(end->result, end->reason);
}

void Fencer::run_agent(std::string_view action, void (Fencer::*next)(const ProcessResult&)) {
  ProcessSpec spec{.argv = {device().program},
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                   .input = "action=" + std::string(action) + "\n",
                   .timeout = device().timeout,
                   .what = "fence by " + device().name + ": " + std::string(action)};
  spec.argv.insert(spec.argv.end(), device().arguments.begin(), device().arguments.end());
  for (const auto& [name, value] : device().options) {
    spec.input += name;
    spec.input += '=';
    spec.input += value;
    spec.input += '\n';
  }
  running_ = runner_->run(std::move(spec), [this, next](const ProcessResult& result) {
    const auto ended = std::move(running_);  // lives until its callback, this one, is over
    (this->*next)(result);
  });
}

void Fencer::acted(const ProcessResult& result) {
  const std::string_view action = text_of(device().action);
  if (const auto why = without_answer(action, result)) {
    const bool nothing_ran = result.end == ProcessResult::End::could_not_start;
    device_answered(nothing_ran ? FenceResult::failed : FenceResult::unknown, *why);
    return;
  }
  if (result.code != kSuccess) {
    const std::string sentence = "\"" + std::string(action) + "\" answered exit code " + std::to_string(result.code);
    device_answered(result.code == kGenericError ? FenceResult::failed : FenceResult::unknown,
                    sentence + words_of(result));
    return;
  }
  switch (device().action) {
    case FenceAction::reboot:
      device_answered(FenceResult::confirmed, "");
      return;
    case FenceAction::off:
      report_step(FenceStep::Kind::checking);
      run_agent("status", &Fencer::checked);
      return;
  }
}

void Fencer::checked(const ProcessResult& result) {
  if (const auto why = without_answer("status", result)) {
    device_answered(FenceResult::unknown, "\"off\" succeeded, but " + *why);
  } else if (result.code == kStatusOff) {
    device_answered(FenceResult::confirmed, "");
  } else if (result.code == kSuccess) {
    device_answered(FenceResult::failed, "\"off\" succeeded, but \"status\" says that " + round_->target.text() +
                                             " is still on; check the device's plug and wiring");
  } else {
    device_answered(FenceResult::unknown, "\"off\" succeeded, but \"status\" answered exit code " +
                                              std::to_string(result.code) + words_of(result));
  }
}

void Fencer::report_step(FenceStep::Kind kind) {
  if (round_->on_step) {
    round_->on_step({kind, device().name, device().kind, FenceResult::unknown, "", Duration::zero()});
  }
}

void Fencer::device_answered(FenceResult result, const std::string& reason) {
  const std::string name = device().name;
  if (round_->on_step) {
    round_->on_step(
        {FenceStep::Kind::answered, name, device().kind, result, reason, clock_->now() - round_->device_started_at});
  }
  if (result == FenceResult::confirmed) {
    round_->by_partner = device().kind == FenceKind::poison;
    finish(FenceResult::confirmed);
    return;
  }
  round_->any_unknown = round_->any_unknown || result == FenceResult::unknown;
  if (!round_->reasons.empty()) round_->reasons += "; ";
  round_->reasons += name + ": " + reason;
  if (++round_->device < config_->devices.size()) {
    begin_device();
  } else {
    finish(round_->any_unknown ? FenceResult::unknown : FenceResult::failed);
  }
}

void Fencer::finish(FenceResult result) {
  const auto round = std::move(round_);
  round->done({.result = result,
               .device = round->last_device,
               .reason = result == FenceResult::confirmed ? "" : round->reasons,
               .took = clock_->now() - round->started_at,
               .by_partner = round->by_partner});
}

}  // namespace hapair::agent
