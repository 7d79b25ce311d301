// Leases of pools that run here, and what all leases ask of the shell. Why this is safe: agent/core/lease.h.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"
#include "agent/core/lease.h"

namespace hapair::agent {

using heartbeat::Verdict;

namespace {

// How long after a ballot that came to nothing the next one begins, where it does not say so itself.
constexpr Duration kBallotAgain = std::chrono::seconds(1);
// An agent that restarts has so long to come to a lease where its configuration has none any more.
constexpr Duration kLeaseAnyway = std::chrono::seconds(5);

constexpr int kLooksALease = 4;

}  // namespace

bool Engine::bound(PoolIndex index) const { return wanted_.pools[index].leased || durable(index).leased; }

// Resources of it may run here.
bool Engine::may_run_here(PoolIndex index) const {
  switch (pools_[index].state) {
    case PoolState::probing:
    case PoolState::starting:
    case PoolState::serving:
    case PoolState::stopping:
    case PoolState::failed:
      return true;
    case PoolState::unsettled:
    case PoolState::asking:
    case PoolState::elsewhere:
    case PoolState::requesting:
    case PoolState::claiming:
    case PoolState::fencing:
    case PoolState::acquiring:
    case PoolState::releasing:
    case PoolState::released:
      return false;
  }
  return true;
}

Duration Engine::lease_time() const { return config_.policy.lease.count() > 0 ? config_.policy.lease : kLeaseAnyway; }

std::chrono::milliseconds Engine::lease_over() const {
  if (config_.policy.lease_arbiter == LeaseArbiter::none || !ground_.watchdog) return {};
  return std::chrono::ceil<std::chrono::milliseconds>(lease_time() + config_.policy.lease_stop + ground_.bound);
}

bool Engine::anything_runs(PoolIndex index) const {
  const PoolSequence& sequence = pools_[index].sequence;
  for (std::size_t i = 0; i < sequence.plan().size(); ++i) {
    if (sequence.status(i).state != ResourceState::stopped) return true;
  }
  return false;
}

// The partner waits for as long as it was told, and claims on the disks that it was told: no lease of a later
// configuration is longer, or rests on others.
bool Engine::keeps_promise(PoolIndex index) const {
  const PoolDurable& record = wanted_.pools[index];
  return !bound(index) || (lease_over() <= record.lease_over && same_mailbox(record.mailbox, ground_.mailbox));
}

// What a lease may rest on: the watchdog is fed up to a time that this node tells.
bool Engine::grounded() const { return ground_since_.has_value(); }

// By what the partner published last.
bool Engine::one_mailbox() const {
  return config_.policy.lease_arbiter != LeaseArbiter::none && partner_ &&
         same_mailbox(ground_.mailbox, partner_->mailbox);
}

// And the partner is there to be armed.
bool Engine::partner_may_arm() const { return partner_hears() && one_mailbox(); }

bool Engine::partner_hears() const { return assessment_.verdict == Verdict::alive || hearing() == Hearing::both; }

// Young enough to be built on: half of it is left.
bool Engine::lease_good(Instant now, PoolIndex index) const {
  return grounded() && now < pools_[index].lease.until - lease_time() / 2;
}

// ---- events ------------------------------------------------------------------------------------------------------

void Engine::on(Instant now, const LeaseGround& event) {
  ground_ = event;
  if (!told_feed_ && !standing_) standing_ = event.fed_until;
  const bool good = event.watchdog && event.fed_until && *event.fed_until > now;
  if (!good) {
    ground_since_.reset();
  } else if (!ground_since_) {
    ground_since_ = now;
    for (Pool& pool : pools_) pool.lease.look_at = now;
    quorum_look_at_ = now;
  }
}

void Engine::on(Instant now, const OwnershipSeen& event) {
  if (event.pool >= pools_.size()) return;
  Lease& lease = pools_[event.pool].lease;
  if (!lease.mine || event.look.began <= lease.looked) return;
  lease.looked = event.look.began;
  lease.shows = event.look.shows;
  if (renews_lease(event.look.shows)) renew_lease(now, event.pool, event.look.began);
  if (lease.trouble_told && now - lease.looked < lease_time() / 2) {
    lease.trouble_told = false;
    lease.offer_from = std::max(lease.offer_from, now);
    record(now, Severity::notice, "mailbox-answers", event.pool, 0,
           fmt::format("{}: a majority of the mailbox disks answers again", plan(event.pool).name.view()));
  }
}

// By a look that was begun then, and shows nothing against it.
void Engine::renew_lease(Instant now, PoolIndex index, Instant began) {
  Lease& lease = pools_[index].lease;
  if (!ground_since_ || began < *ground_since_ || !keeps_promise(index)) return;
  if (by_quorum() && lapsed(now, index)) return;
  lease.until = std::max(lease.until, began + lease_time());
}

void Engine::on(Instant now, const BallotDone& event) {
  if (event.pool >= pools_.size()) return;
  Pool& pool = pools_[event.pool];
  Lease& lease = pool.lease;
  const auto purpose = std::exchange(lease.ballot, Lease::Ballot::none);
  const BallotOutcome& outcome = event.outcome;
  lease.known = outcome.decided;
  switch (outcome.kind) {
    case BallotOutcome::Kind::known:
      lease.learnt = true;
      break;
    case BallotOutcome::Kind::decided:
      lease.learnt = true;
      if (purpose == Lease::Ballot::claims) take_claim(now, event.pool);
      break;
    case BallotOutcome::Kind::overtaken:
      lease.learnt = true;
      lease.ballot_at = now + kBallotAgain / 10;
      return;
    case BallotOutcome::Kind::lost:
      lease.learnt = false;
      lease.ballot_at = now + std::max(outcome.wait, Duration(1));
      return;
    case BallotOutcome::Kind::no_majority:
    case BallotOutcome::Kind::unfounded:
      lease.learnt = false;
      lease.ballot_at = now + kBallotAgain;
      tell_mailbox_trouble(now, event.pool, text_of(outcome.kind));
      return;
  }
  // Who only wants to see what its partner has decided looks again in a while.
  lease.ballot_at = pool.state == PoolState::elsewhere ? now + kBallotAgain : now;
  take_own(now, event.pool);
}

// This node's ownership is decided, or was in an earlier life of its agent.
void Engine::take_own(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  Lease& lease = pool.lease;
  const ccm::OwnershipDecision& known = *lease.known;
  const bool runs = pool.state == PoolState::serving || (pool.state == PoolState::probing && bound(index));
  if (!runs || lease.mine || known.value.owner != own_side_ || known.value.epoch < wanted_.pools[index].epoch) return;
  lease.mine = known;
  lease.looked = now;
  lease.look_at = now;
  lease.trouble_told = false;
}

void Engine::tell_mailbox_trouble(Instant now, PoolIndex index, std::string_view what) {
  Pool& pool = pools_[index];
  if (std::exchange(pool.lease.trouble_told, true)) return;
  const bool claims = pool.state == PoolState::fencing;
  record(now, Severity::error, "mailbox-lost", index, claims ? pool.decision : 0,
         fmt::format("{}: too few mailbox disks answer ({}): {}. See hapair mailbox check; repair them, or the way to "
                     "them",
                     plan(index).name.view(), what,
                     claims ? "the claim cannot be decided, and its owner's lease not be waited for; it is tried again"
                            : "no lease rests on them, so a node that dies is taken over only by a confirmed fence, "
                              "by its reboot or by an operator"));
}

// ---- the owner ---------------------------------------------------------------------------------------------------

// True where the pool's state changed.
bool Engine::settle_lease(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  Lease& lease = pool.lease;
  follow_arms(index);
  if (by_quorum() && may_run_here(index) && lease.looked == Instant()) {
    lease.looked = now;
    lease.trouble_told = false;
  }
  // Of one that nobody waits for, what is on the disks is decided anew where it is another's by now, or gone.
  if (lease.mine && !bound(index) &&
      (lease.mine->value.epoch < wanted_.pools[index].epoch || !renews_lease(lease.shows))) {
    lease.mine.reset();
    lease.learnt = false;
    lease.shows = ClaimSight::none;
  }
  if (!may_run_here(index)) {
    set_offered(now, index, false, "");
    forget_lease(index);
  }
  free_from_lease(index);
  if (looks_count(index) && now - lease.looked >= lease_time() / 2) {
    if (by_quorum()) {
      tell_quorum_trouble(now, index, no_quorum_text(now));
    } else {
      tell_mailbox_trouble(now, index, "no complete look");
    }
  }
  offer_lease(now, index);
  tell_absence(now, index);
  if (lease.awaited && (!bound(index) || now < lease.until)) {
    lease.awaited = false;
    take_sequence(now, index, pool.sequence.probe(now));
    return true;
  }
  const auto over = lease_over_at(index);
  const bool claimed = bound(index) && taken_by_partner(index);
  // One that shuts down waits for no lease.
  const bool leaves = shutting_down_ && hands_over() && lease.awaited;
  if (!claimed && !leaves && (!over || now < *over)) return false;
  if (pool.state == PoolState::probing && !lease.awaited) return false;
  const std::uint64_t decision = next_decision_;
  const std::string why = why_no_lease(now, index);
  lease.taken = claimed;
  if (!fire(now, index, PoolEvent::lease_lost, decision)) return false;
  ++next_decision_;
  record(
      now, Severity::error, "lease-lost", index, decision,
      fmt::format("{}: {}; what has not stopped within {:.0f} ms is ended by the watchdog, which resets this node. {}",
                  plan(index).name.view(),
                  claimed ? fmt::format("{} has it by now", config_.partner.view())
                          : fmt::format("its lease is over ({}), and {} has not said that it does not wait for that",
                                        why, config_.partner.view()),
                  ms_of(config_.policy.lease_stop),
                  claimed ? "See hapair why there"
                  : by_quorum()
                      ? fmt::format("Repair that (hapair status, corosync-quorumtool -s); it is started again by the "
                                    "partner's word, or by yours that {0} has no power: hapair confirm-down {0}",
                                    config_.partner.view())
                      : std::string("Repair that (hapair status, hapair mailbox check); it is started again when "
                                    "there is a lease, or by the partner's word")));
  return true;
}

// Nothing of the pool runs here.
void Engine::forget_lease(PoolIndex index) {
  Lease& lease = pools_[index].lease;
  lease.mine.reset();
  lease.looked = Instant();
  lease.shows = ClaimSight::none;
  lease.awaited = lease.past_unknown = lease.taken = false;
  lease.prepared_until.reset();
  const PoolDurable& record = wanted_.pools[index];
  if (!record.leased || record.owner == config_.self) return;
  draft(index).leased = false;
}

std::string Engine::why_no_lease(Instant now, PoolIndex index) const {
  const Lease& lease = pools_[index].lease;
  if (!ground_.watchdog) return "this node's ccmd, or the watchdog that it holds, is not there";
  if (!grounded()) return "the watchdog is not fed as this agent asked";
  if (by_quorum() && !ground_.problem.empty()) return ground_.problem;
  if (!keeps_promise(index) && by_quorum()) {
    return "the configuration gives longer leases, or Corosync decides by other votes, than the partner was told";
  }
  if (!keeps_promise(index)) {
    return "the configuration gives longer leases, or other mailbox disks, than the partner was told";
  }
  if (by_quorum()) return no_quorum_text(now);
  if (lease.shows == ClaimSight::forgotten) return "the mailbox disks were made anew";
  if (!renews_lease(lease.shows)) return fmt::format("{} claims it on the mailbox disks", config_.partner.view());
  if (now - lease.looked >= lease_time() / 2) return "too few mailbox disks answer";
  return "no look at the mailbox disks has renewed it";
}

// When a pool that is served without a lease, beside a partner that is well, should long have had one.
std::optional<Instant> Engine::absence_at(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const bool told = pool.lease.offered || pool.lease.absence_told || pool.lease.trouble_told;
  if (config_.policy.lease_arbiter == LeaseArbiter::none || told || pool.state != PoolState::serving ||
      !partner_hears()) {
    return std::nullopt;
  }
  return std::max({pool.since, assessment_.since, hearing_since_, pool.lease.offer_from}) + 2 * lease_time();
}

void Engine::tell_absence(Instant now, PoolIndex index) {
  Lease& lease = pools_[index].lease;
  if (lease.offered) lease.absence_told = false;
  const auto at = absence_at(index);
  if (!at || now < *at) return;
  lease.absence_told = true;
  const std::string_view partner = config_.partner.view();
  const std::string why =
      !looks_count(index)      ? std::string("its ownership is not decided on the mailbox disks")
      : !ground_.watchdog      ? why_no_lease(now, index)
      : !partner_              ? fmt::format("no page of {} is read", partner)
      : by_quorum()            ? why_no_quorum_lease(now, index)
      : partner_->mailbox == 0 ? fmt::format("{} does not look at the mailbox disks (its arbiter, its disks)", partner)
      : other_mailbox(ground_.mailbox, partner_->mailbox)
          ? fmt::format("{} looks at other mailbox disks, or at the same in another order", partner)
      : !one_mailbox() ? std::string("it is not known yet whether both look at the same mailbox disks")
                       : why_no_lease(now, index);
  record(now, Severity::warning, "no-lease", index, 0,
         fmt::format(
             "{} is served without a lease: {}. Should this node die, {} takes it only by a confirmed fence, by a "
             "reboot that it sees or by an operator; see hapair check and {} on both nodes",
             plan(index).name.view(), why, partner, by_quorum() ? "corosync-quorumtool -s" : "hapair mailbox check"));
}

// By what the mailbox disks say, or the partner itself.
bool Engine::taken_by_partner(PoolIndex index) const {
  const Lease& lease = pools_[index].lease;
  const Epoch mine = wanted_.pools[index].epoch;
  if (lease.mine) return lease.shows == ClaimSight::decided;
  const bool decided = lease.learnt && lease.known && lease.known->value.owner == ccm::other(own_side_) &&
                       lease.known->value.epoch > mine;
  const PartnerPool* partner = partner_pool(index);
  return decided || (partner != nullptr && partner->owner == PoolOwner::publisher && partner->epoch > mine);
}

// When the lease of what runs here is over; of one that this life of the agent never had, since its start.
std::optional<Instant> Engine::lease_over_at(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const bool runs = pool.state == PoolState::serving || pool.state == PoolState::starting ||
                    (pool.lease.awaited && anything_runs(index));
  if (!runs || !bound(index)) return std::nullopt;
  if (pool.lease.until != Instant()) return pool.lease.until;
  const Instant since_start = started_at_ + lease_time();
  // In time for a stop before the watchdog's.
  return standing_ ? std::min(since_start, *standing_ - config_.policy.lease_stop) : since_start;
}

// By the partner's word, or because its kernel's life is proved to be over.
void Engine::free_from_lease(PoolIndex index) {
  Lease& lease = pools_[index].lease;
  if (!wanted_.pools[index].leased || !lease.freeing) return;
  const PartnerPool* partner = partner_pool(index);
  // Nor has it the pool by now, or is about to.
  const bool word = partner != nullptr && !partner->armed && partner->owner != PoolOwner::publisher &&
                    partner->claim.value() == 0 && partner_->saw_life == config_.life &&
                    partner_->saw_serial >= lease.unoffered_serial;
  if (!word && !partner_down_proven_) return;
  // What was promised stays until the next bond: before this is on disk it still counts.
  draft(index).leased = false;
}

void Engine::offer_lease(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  Lease& lease = pool.lease;
  const bool stays = !shutting_down_ || (hands_over() && pool.state != PoolState::failed);
  if (lease.offered) {
    const std::string why = !stays ? std::string("its agent leaves and the pool runs on")
                            : partner_ && other_mailbox(ground_.mailbox, partner_->mailbox)
                                ? fmt::format("the two nodes do not {}", by_quorum() ? "see the same Corosync cluster"
                                                                                     : "look at the same mailbox disks")
                            : !lease_good(now, index) ? why_no_lease(now, index)
                                                      : std::string();
    if (!why.empty()) set_offered(now, index, false, why);
    return;
  }
  const bool fit = pool.state == PoolState::serving && looks_count(index) && stays && partner_may_arm() &&
                   now >= lease.offer_from && now - lease.looked < lease_time();
  if (!fit || !ground_.watchdog) {
    if (!lease.awaited) lease.prepared_until.reset();
    ask_for_freedom(index);
    return;
  }
  if (!lease.prepared_until) lease.look_at = quorum_look_at_ = now;
  if (!lease_good(now, index) || !renews_lease(lease.shows) || !keeps_promise(index)) return;
  lease.freeing = false;
  if (!bound(index)) {
    PoolDurable& record = draft(index);
    record.leased = true;
    record.lease_over = lease_over();
    record.mailbox = ground_.mailbox;
  } else if (durable(index).leased && wanted_.pools[index].leased) {
    // What is told is what is promised on disk.
    const PoolDurable& record = wanted_.pools[index];
    if (record.lease_over != lease_over() || record.mailbox != ground_.mailbox) {
      draft(index).lease_over = lease_over();
      draft(index).mailbox = ground_.mailbox;
    }
    const PoolDurable& told = durable(index);
    if (told.lease_over == lease_over() && told.mailbox == ground_.mailbox) set_offered(now, index, true, "");
  }
}

void Engine::set_offered(Instant now, PoolIndex index, bool offered, const std::string& why) {
  Lease& lease = pools_[index].lease;
  if (lease.offered == offered) return;
  lease.offered = offered;
  if (offered) {
    record(now, Severity::info, "lease", index, 0,
           fmt::format("{}: runs under a lease; should this node go dark, {} may take it {:.0f} ms after {}",
                       plan(index).name.view(), config_.partner.view(),
                       by_quorum() ? ms_of(vigil_wait(quorum_look_ ? quorum_look_->slack : Duration{}, lease_over()))
                                   : ms_of(expiry_wait(lease_over())),
                       by_quorum() ? "it has quorum alone" : "its claim is decided"));
    return;
  }
  ask_for_freedom(index);
  if (why.empty()) return;
  // A disk that answers now and then gives no lease for long.
  lease.offer_from = now + 2 * lease_time();
  record(
      now, Severity::warning, "lease-given-up", index, 0,
      fmt::format("{}: {}: {} is asked not to count on its lease any more; without its word the pool is stopped when "
                  "the lease is over",
                  plan(index).name.view(), why, config_.partner.view()));
}

void Engine::ask_for_freedom(PoolIndex index) {
  Lease& lease = pools_[index].lease;
  if (std::exchange(lease.freeing, true)) return;
  lease.unoffered_serial = serial_ + 1;  // the publication at the end of this step says so
}

// ---- what is asked of the shell ----------------------------------------------------------------------------------

// Which ballot the pool needs now.
Engine::Lease::Ballot Engine::ballot_wanted(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const Lease& lease = pool.lease;
  using Ballot = Lease::Ballot;
  if (!by_mailbox()) return Ballot::none;
  if (pool.state == PoolState::serving || (pool.state == PoolState::probing && bound(index))) {
    if (lease.mine) return Ballot::none;
    if (!lease.learnt || !lease.known) return Ballot::learns;
    // Bound, it proposes nothing: what is not there any more, or another's by now, is what its looks would have shown.
    return bound(index) || pool.state != PoolState::serving ? Ballot::none : Ballot::decides;
  }
  if (pool.state == PoolState::fencing && expiry_possible(index)) {
    if (lease.claim_decided) return Ballot::none;
    return lease.learnt && lease.known ? Ballot::claims : Ballot::learns;
  }
  return may_arm(index) ? Ballot::learns : Ballot::none;
}

void Engine::ask_disks(Instant now, PoolIndex index) {
  Lease& lease = pools_[index].lease;
  const Lease::Ballot wanted = lease.ballot == Lease::Ballot::none ? ballot_wanted(index) : Lease::Ballot::none;
  if (wanted != Lease::Ballot::none && now >= lease.ballot_at) {
    RunBallot run{.pool = index, .proposal = {}};
    if (wanted != Lease::Ballot::learns) {
      const bool claims = wanted == Lease::Ballot::claims;
      run.proposal = Proposal{.epoch = claims ? durable(index).claim : wanted_.pools[index].epoch,
                              .owner = own_side_,
                              .rests_on = lease.known->instance};
    }
    lease.ballot = wanted;
    // The next one, where this one leads to nothing.
    lease.ballot_at = now + kBallotAgain;
    lease.learnt = false;
    out_.commands.emplace_back(run);
  }
  if (!lease.mine || !may_run_here(index) || now < lease.look_at) return;
  lease.look_at = now + lease_time() / kLooksALease;
  prepare_lease(now, index);
  out_.commands.emplace_back(LookAtDisks{index});
}

// The look that is about to begin may be the first of a lease: the watchdog is to be fed to its end before.
void Engine::prepare_lease(Instant now, PoolIndex index) {
  Lease& lease = pools_[index].lease;
  const bool serves = pools_[index].state == PoolState::serving && partner_may_arm() && now >= lease.offer_from &&
                      now - lease.looked < lease_time();
  // By quorum a pool that awaits one has it already, or the partner's word starts it.
  const bool prepares = ground_.watchdog && (serves || (lease.awaited && !by_quorum()));
  if (prepares) lease.prepared_until = now + lease_time() + config_.policy.lease_stop;
}

// The watchdog is fed up to the time at which everything that runs under a lease must have stopped. What an earlier
// life of this agent said stands for what it had, until this one has a lease for it or knows that nobody waits for one.
void Engine::feed() {
  std::optional<Instant> least;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const Lease& lease = pools_[i].lease;
    if (!may_run_here(i)) continue;
    const bool only_awaited = lease.awaited && !anything_runs(i);
    std::optional<Instant> until;
    if (only_awaited || (!bound(i) && !lease.past_unknown)) {
      until = lease.prepared_until;
    } else if (bound(i) && lease.until != Instant()) {
      until = lease.until + config_.policy.lease_stop;
    } else {
      until = standing_;
    }
    if (until) least = std::min(least.value_or(*until), *until);
  }
  if (!told_feed_ && !least && !ground_.fed_until) return;
  if (told_feed_ && told_feed_->until == least) return;
  told_feed_ = FeedUntil{least};
  out_.commands.emplace_back(*told_feed_);
}

std::optional<Instant> Engine::lease_due(PoolIndex index) const {
  std::optional<Instant> due;
  const auto consider = [&](std::optional<Instant> at) {
    if (at && *at > last_step_ && (!due || *at < *due)) due = at;
  };
  const Pool& pool = pools_[index];
  const Lease& lease = pool.lease;
  if (lease.ballot == Lease::Ballot::none && ballot_wanted(index) != Lease::Ballot::none) consider(lease.ballot_at);
  if (lease.mine && may_run_here(index)) consider(lease.look_at);
  if (quorum_wanted()) consider(quorum_look_at_);
  if (looks_count(index) && may_run_here(index) && !lease.trouble_told) consider(lease.looked + lease_time() / 2);
  if (lease.offered) consider(lease.until - lease_time() / 2);
  if (looks_count(index) && !lease.offered) consider(lease.offer_from);
  consider(no_vigil_at(index));
  consider(absence_at(index));
  consider(lease_over_at(index));
  consider(expiry_at(index));
  return due;
}

// One that leaves pools running first gets free of their leases, or the watchdog would end what it leaves.
bool Engine::leaves_bound(Instant now) const {
  if (now >= shutdown_at_ + kLeaveBound || !hears_partner()) return false;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (bound(i) && may_run_here(i) && (!hands_over() || pools_[i].state == PoolState::failed)) return true;
  }
  return false;
}

void Engine::tell_left_bound(Instant now) {
  if (!shutting_down_ || told_left_bound_ || leaves_bound(now) || !told_feed_ || !told_feed_->until) return;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (!bound(i) || !may_run_here(i) || (hands_over() && pools_[i].state != PoolState::failed)) continue;
    told_left_bound_ = true;
    record(now, Severity::error, "left-under-lease", i, 0,
           fmt::format(
               "{}: its agent leaves and it runs on under a lease, of which {} has not freed it: unless hapaird is "
               "back within {:.0f} ms, the watchdog resets this node",
               plan(i).name.view(), config_.partner.view(), ms_of(*told_feed_->until - now)));
    return;
  }
}

}  // namespace hapair::agent
