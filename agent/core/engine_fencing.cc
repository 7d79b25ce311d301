// Fences: when one is asked for, whether its answer is believed, and when this node fences no more by itself.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

// A fence is asked for where a claim that is still carried needs one; not while a page of a later life of the partner
// is about to prove it.
void Engine::fence_if_wanted(Instant now) {
  if (fence_in_flight_ || fence_retry_at_ || operator_word_holds() || config_.policy.cluster_decides) return;
  if (one_way_at()) return;  // it is heard, and may be about to say that it hears: then it is asked, not fenced
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (pools_[i].state != PoolState::fencing || !claim_carried(now, i) || reboot_awaited(i)) continue;
    const bool expires = expiry_possible(i);
    if (expires && (pools_[i].fence_over || !config_.policy.fences)) continue;
    const bool first =
        pools_[i].claim_cause == ClaimCause::verdict && fence_tries_ == 0 && !fence_counted() && !partner_down_proven_;
    if (!first || !fence_limit_reached(now)) return start_fence_round(now);
    if (expires) {
      pools_[i].fence_over = true;
      continue;
    }
    fire(now, i, PoolEvent::fence_given_up, pools_[i].decision);
    refuse_fence(now, i);
  }
}

// Two nodes that cannot see each other, and come up again each time, would go on shooting each other for ever.
bool Engine::fence_limit_reached(Instant now) const {
  const EnginePolicy& policy = config_.policy;
  const auto recent = std::ranges::count_if(
      wanted_.fences, [&](const FenceStamp& fence) { return now - fence.when < policy.fence_window; });
  return policy.fence_limit != 0 && recent >= policy.fence_limit;
}

bool Engine::fence_counted() const { return std::ranges::any_of(pools_, &Pool::fence_counted); }

// Of this very death of the partner: whatever else is claimed from it belongs to the same fence.
bool Engine::fence_under_way() const { return partner_down_proven_ || fence_in_flight_ || fence_retry_at_.has_value(); }

void Engine::count_fence(Instant now) {
  dirty_ = true;
  wanted_.fences.push_back({wall(now), now});
  if (wanted_.fences.size() > kFencesKept) wanted_.fences.erase(wanted_.fences.begin());
}

// It was counted in the same write as the claim, which is withdrawn or proved in another way.
void Engine::uncount_fence(PoolIndex index) {
  if (!std::exchange(pools_[index].fence_counted, false)) return;
  dirty_ = true;
  wanted_.fences.pop_back();
}

void Engine::refuse_fence(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  const Verdict verdict = assessment_.verdict;
  const bool silent = verdict == Verdict::unreachable || verdict == Verdict::hung || verdict == Verdict::panicked;
  const std::string command = fmt::format("hapair takeover {}{}", plan(index).name.view(), silent ? "" : " --force");
  pool.takeover_refused = true;
  pool.reason = fmt::format(
      "{} was fenced, or may have been, {} within {:.0f} min by this node, which fences it no more by itself ({} "
      "does)",
      config_.partner.view(),
      config_.policy.fence_limit == 1 ? "once" : fmt::format("{} times", config_.policy.fence_limit),
      ms_of(config_.policy.fence_window) / 60'000, command);
  record(now, Severity::error, "fence-limit", index, partner_decision_,
         fmt::format("{}: not taken over: {}, for it may be well and only not be seen. Find out why it is {} again and "
                     "again, then run: {}",
                     plan(index).name.view(), pool.reason, heartbeat::text_of(verdict), command));
}

void Engine::on(Instant now, const FenceProgress& event) {
  record(now, Severity::info, "fence-device", std::nullopt, partner_decision_, event.text);
}

void Engine::on(Instant now, const FenceDone& event) {
  if (!fence_in_flight_ || doubted_fence_) return;
  // By poison it is the partner itself who says what it has stopped, under the session's key: it may well be seen to
  // run.
  const bool confirmed = event.report.result == FenceResult::confirmed;
  if (confirmed && event.report.by_partner && (!partner_ || config_differs_)) {
    FenceReport doubted = event.report;
    doubted.result = FenceResult::unknown;
    doubted.reason = fmt::format(
        "{} stopped the pools of its own configuration, which is another one than here: "
        "compare the two files",
        config_.partner.view());
    return take_fence_report(now, doubted);
  }
  if (!confirmed || event.report.by_partner || !partner_runs(now)) return take_fence_report(now, event.report);
  // A device that switched off another plug confirms it as well, and here is evidence against it: what is off answers
  // no more. It is waited for, since it takes a moment to be seen.
  doubted_fence_ = event.report;
  doubted_until_ = std::max(now, blind_since_.value_or(now)) + config_.policy.beats_end;
  record(now, Severity::info, "fence-doubted", std::nullopt, partner_decision_,
         fmt::format("device {} says that {} is off, and it was still seen to run ({}): that must end within {:.0f} ms",
                     event.report.device, config_.partner.view(), heartbeat::text_of(seen_running_),
                     ms_of(doubted_until_ - now)));
}

// What the verdict says of the partner's machine: whether something was seen of it that only a running one does. A host
// that answers without its CCM runs on, and so does a memory that is read, and whoever answers without a proof may. Of
// one that was never seen to run, the device's word is all there is.
void Engine::note_running(Instant now, Verdict before) {
  switch (assessment_.verdict) {
    case Verdict::unknown:  // this node's own CCM is gone: no sign of anything, nor is the silence after it
      blind_since_ = now;
      return;
    case Verdict::unreachable:
      if (blind_since_) {
        if (before != Verdict::unreachable) blind_since_ = now;
        return;
      }
      [[fallthrough]];
    case Verdict::rebooted:  // so that life of it is over
    case Verdict::panicked:
      blind_since_.reset();
      runs_ = false;
      return;
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::hung:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
    case Verdict::interconnect_lost:
    case Verdict::unproven:
      blind_since_.reset();
      runs_ = true;
      seen_running_ = assessment_.verdict;
      return;
    case Verdict::ccm_gone:  // its host runs on, as far as it ever was seen to
      blind_since_.reset();
      return;
  }
}

// As far as is known. A partner that runs is seen by an own CCM that is back within the time in which beats end.
bool Engine::partner_runs(Instant now) const {
  const bool looked_in_vain =
      blind_since_ && assessment_.verdict == Verdict::unreachable && now - *blind_since_ >= config_.policy.beats_end;
  return runs_ && !looked_in_vain;
}

// The time in which it must have been seen to stop has passed.
void Engine::end_doubt(Instant now) {
  FenceReport report = *doubted_fence_;
  if (partner_runs(now)) {
    report.result = FenceResult::unknown;
    report.reason =
        assessment_.verdict == Verdict::unknown
            ? fmt::format(
                  "the device says that {} is off, but it was seen to run last ({}), and since then this node sees "
                  "nothing, for its own CCM is not there: start ccmd here",
                  config_.partner.view(), heartbeat::text_of(seen_running_))
            : fmt::format(
                  "the device says that {} is off, but it still runs (verdict {}): another machine may be off instead; "
                  "check the device's plug and options",
                  config_.partner.view(), heartbeat::text_of(assessment_.verdict));
  }
  take_fence_report(now, report);
}

void Engine::take_fence_report(Instant now, const FenceReport& report) {
  doubted_fence_.reset();
  fence_in_flight_ = false;
  std::vector<PoolIndex> concerned;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (pools_[i].state == PoolState::fencing && pools_[i].fence_round <= fence_round_) concerned.push_back(i);
  }
  conclude_fence(now, report, concerned);
  fence_if_wanted(now);
}

bool Engine::operator_word_holds() const { return operator_word_ && assessment_.verdict == Verdict::unreachable; }

// It was given after, or holds on since before, each of these claims became durable.
void Engine::heed_operator(Instant now) {
  if (!operator_word_holds()) return;
  std::vector<PoolIndex> concerned;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (pools_[i].state == PoolState::fencing) concerned.push_back(i);
  }
  if (concerned.empty()) return;
  fence_retry_at_.reset();
  doubted_fence_.reset();
  // No device is to switch off a machine that is repaired by the time its turn comes.
  if (std::exchange(fence_in_flight_, false)) out_.commands.emplace_back(AbandonFence{});
  conclude_fence(now, FenceReport(*operator_word_), concerned);
}

void Engine::conclude_fence(Instant now, const FenceReport& report, const std::vector<PoolIndex>& concerned) {
  last_fence_ = report;
  const bool confirmed = report.result == FenceResult::confirmed;
  fence_series_doubtful_ |= report.result == FenceResult::unknown;
  const std::uint64_t decision = concerned.empty() ? partner_decision_ : pools_[concerned.front()].decision;
  record(
      now, confirmed ? Severity::notice : Severity::warning, confirmed ? "fence-confirmed" : "fence-failed",
      std::nullopt, decision,
      report.by_operator ? fmt::format("{} is down by the word of {}", config_.partner.view(), report.device)
      : report.by_partner
          ? fmt::format("{}, told by {}, answered after {:.0f} ms that it has stopped every pool, and goes on",
                        config_.partner.view(), report.device, ms_of(report.took))
          : fmt::format("fence of {} by device {}: {} after {:.0f} ms{}{}", config_.partner.view(), report.device,
                        text_of(report.result), ms_of(report.took), report.reason.empty() ? "" : ": ", report.reason),
      {{"result", std::string(text_of(report.result))},
       {"device", report.device},
       {"took_ms", fmt::format("{:.3f}", ms_of(report.took))}});
  if (confirmed) {
    fence_tries_ = 0;
    if (!report.by_partner) {
      unheeded_boot_ = partner_boot_;
      unheeded_ = std::exchange(partner_, std::nullopt);  // that life of the partner is over, and so is its page
      partner_down_proven_ = true;
    }
    for (const PoolIndex i : concerned) fire(now, i, PoolEvent::fence_confirmed, pools_[i].decision);
  } else if (++fence_tries_ < config_.policy.fence_attempts) {
    fence_retry_at_ = now + config_.policy.fence_retry;
    for (const PoolIndex i : concerned) fire(now, i, PoolEvent::fence_failed, pools_[i].decision);
  } else {
    fence_tries_ = 0;
    // Where every device says that it did nothing, nothing was done.
    if (std::exchange(fence_series_counted_, false) && !fence_series_doubtful_ && !wanted_.fences.empty()) {
      dirty_ = true;
      wanted_.fences.pop_back();
    }
    for (const PoolIndex i : concerned) {
      if (expiry_possible(i)) {
        pools_[i].fence_over = true;
        record(now, Severity::warning, "lease-waited-for", i, pools_[i].decision,
               fmt::format("{}: no fence was confirmed, so it is taken when the lease of {} is over",
                           plan(i).name.view(), config_.partner.view()));
        continue;
      }
      pools_[i].takeover_refused = true;
      fire(now, i, PoolEvent::fence_given_up, pools_[i].decision);
    }
  }
}

void Engine::start_fence_round(Instant now) {
  fence_in_flight_ = true;
  fence_retry_at_.reset();
  ++fence_round_;
  fence_round_step_ = steps_;
  std::uint64_t decision = partner_decision_;
  bool by_itself = false;
  for (const Pool& pool : pools_) {
    if (pool.state != PoolState::fencing) continue;
    decision = pool.decision;
    by_itself |= pool.claim_cause == ClaimCause::verdict;
  }
  if (fence_tries_ == 0) {
    const bool counted = std::ranges::any_of(
        pools_, [](const Pool& pool) { return pool.state == PoolState::fencing && pool.fence_counted; });
    fence_series_counted_ = counted || (by_itself && !fence_counted() && !partner_down_proven_);
    fence_series_doubtful_ = false;
    if (fence_series_counted_ && !counted) count_fence(now);
  }
  for (Pool& pool : pools_) {
    if (pool.state == PoolState::fencing) pool.fence_counted = false;
  }
  record(now, Severity::notice, "fence-started", std::nullopt, decision,
         fmt::format("fence of {}: attempt {} of {}", config_.partner.view(), fence_tries_ + 1,
                     config_.policy.fence_attempts));
  out_.commands.emplace_back(StartFence{});
}

}  // namespace hapair::agent
