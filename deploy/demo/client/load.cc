#include "deploy/demo/client/load.h"

#include <poll.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hapair::demo {
namespace {

constexpr Duration kProgressEvery = std::chrono::milliseconds(200);

Duration pace_of(const LoadPlan& plan) { return Duration(std::chrono::seconds(1)) / plan.writes_per_second; }

}  // namespace

Load::Load(LoadPlan plan, std::uint64_t run, Ledger ledger, Say say)
    : plan_(std::move(plan)), ledger_(std::move(ledger)), say_(std::move(say)) {
  result_.run = run;
}

void Load::dial(Instant now) {
  ++result_.dials;
  was_ready_ = false;
  session_ = std::make_unique<Session>(plan_.target, now,
                                       [this](Instant t, std::uint64_t tag, bool ok) { on_done(t, tag, ok); });
}

void Load::lose_session(Instant now) {
  if (was_ready_ || session_->reason() != last_reason_) {
    last_reason_ = session_->reason();
    say_(nlohmann::json{
        {"event", was_ready_ ? "session-lost" : "dial-failed"}, {"when_ns", ns_of(now)}, {"reason", last_reason_}}
             .dump());
  }
  session_.reset();
  redial_at_ = now + kRedialAfter;
  for (const auto& write : under_way_) write->sent = false;
}

void Load::send_unsent(Instant now) {
  for (const auto& write : under_way_) {
    if (write->sent || session_->state() != Session::State::ready) continue;
    write->sent = true;
    session_->write(now, write->sequence, (write->sequence - 1) % plan_.slots * kBlockBytes, write->block,
                    plan_.durable);
  }
}

void Load::issue(Instant now, bool stopping) {
  if (session_->state() != Session::State::ready) return;
  if (!was_ready_) {
    was_ready_ = true;
    ++result_.sessions;
    say_(nlohmann::json{{"event", "session"}, {"when_ns", ns_of(now)}}.dump());
    next_write_ = std::max(next_write_, now);  // no rush to catch up on what could not be written
  }
  while (!stopping && under_way_.size() < plan_.depth && now >= next_write_) {
    auto write = std::make_unique<Write>();
    write->sequence = ++result_.issued;
    write->issued = now;
    const std::uint64_t slot = (write->sequence - 1) % plan_.slots;
    write_block({result_.run, write->sequence, slot, pool_number(plan_.pool)}, write->block);
    under_way_.push_back(std::move(write));
    next_write_ = std::max(next_write_ + pace_of(plan_), now - 4 * pace_of(plan_));
  }
  send_unsent(now);
}

void Load::on_done(Instant now, std::uint64_t sequence, bool ok) {
  if (!ok) return;  // the session has failed; the write goes over the next one
  const auto at = std::ranges::find_if(under_way_, [&](const auto& write) { return write->sequence == sequence; });
  if (at == under_way_.end()) return;
  ledger_.add({sequence, (sequence - 1) % plan_.slots, ns_of((*at)->issued), ns_of(now)});
  result_.latencies_us.push_back(static_cast<std::uint32_t>((now - (*at)->issued).count() / 1000));
  under_way_.erase(at);
  if (last_acknowledged_ != Instant() && now - last_acknowledged_ > plan_.outage_from) {
    result_.outages.push_back({last_acknowledged_, now});
    say_(nlohmann::json{{"event", "outage"},
                        {"when_ns", ns_of(now)},
                        {"from_ns", ns_of(last_acknowledged_)},
                        {"to_ns", ns_of(now)},
                        {"ms", ms_of(now - last_acknowledged_)}}
             .dump());
  }
  last_acknowledged_ = now;
}

void Load::progress(Instant now) {
  if (now < next_progress_) return;
  next_progress_ = now + kProgressEvery;
  say_(nlohmann::json{{"event", "progress"},
                      {"when_ns", ns_of(now)},
                      {"acknowledged", result_.acknowledged},
                      {"last_acknowledged_ns", ns_of(last_acknowledged_)}}
           .dump());
}

int Load::wait_ms(Instant now) const {
  Instant next = next_progress_;
  if (!session_) {
    next = std::min(next, redial_at_);
  } else if (session_->state() == Session::State::ready && under_way_.size() < plan_.depth) {
    next = std::min(next, next_write_);
  }
  const double ms = ms_of(next - now);
  return ms <= 0 ? 0 : static_cast<int>(std::clamp(ms, 1.0, 10.0));
}

std::expected<void, std::string> Load::run(const std::function<bool()>& stop, Duration drain) {
  std::optional<Instant> stopped;
  while (true) {
    Instant now = clock_.now();
    if (stop() && !stopped) stopped = now;
    if (stopped && (under_way_.empty() || now - *stopped > drain)) break;
    if (!session_ && now >= redial_at_) dial(now);
    pollfd fd{session_ ? session_->fd() : -1, session_ ? session_->events() : short{0}, 0};
    ::poll(&fd, 1, wait_ms(now));
    now = clock_.now();
    if (session_) {
      session_->service(now, fd.revents);
      if (session_->state() != Session::State::failed) issue(now, stopped.has_value());
      if (session_->state() == Session::State::failed) lose_session(now);
    }
    if (ledger_.has_pending()) {
      const auto lines = ledger_.commit();
      if (!lines) return std::unexpected(lines.error());
      result_.acknowledged += *lines;
    }
    progress(now);
  }
  session_.reset();
  return {};
}

}  // namespace hapair::demo
