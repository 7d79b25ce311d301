// Arbiter pacemaker: a cluster says which node serves a pool, and this engine does nothing of its own but obey, with
// the proofs that it would ask for otherwise wherever the partner is heard. That the cluster wants a pool here is a
// level: it is pursued until the pool is served, and a pool that runs here without it is stopped.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

void Engine::command_promote(Instant now, const OperatorCommand& command) {
  if (!config_.policy.cluster_decides) {
    return refuse(now, command, "no cluster decides here (arbiter is not \"pacemaker\"): use hapair takeover");
  }
  if (offline_) return refuse(now, command, "this node is offline: " + node_reason().text());
  if (shutting_down_) return refuse(now, command, "this node shuts down");
  if (command.pools.size() != 1 || command.pools.front() >= pools_.size()) {
    return refuse(now, command, "there is no such pool");
  }
  const PoolIndex index = command.pools.front();
  Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  if (poisoned()) return refuse(now, command, fmt::format("{} poisons this node", config_.partner.view()));
  if (pool.state == PoolState::failed) {
    return refuse(now, command,
                  fmt::format("{} did not stop here, so nothing is begun with it: {}", name, pool.reason));
  }
  if (command.above.value() > kHighestKeptEpoch) {
    return refuse(now, command,
                  fmt::format("epoch {} is none that {} can have been served at: correct what the cluster keeps of it "
                              "(property hapair-epoch-{})",
                              command.above.value(), name, name));
  }
  const bool comes_here = pool.ordered && (pool.state == PoolState::acquiring || pool.state == PoolState::starting ||
                                           pool.state == PoolState::serving);
  if (comes_here) {
    out_.reply = CommandReply{true, fmt::format("{} is to be served here already", name), pool.decision};
    return;
  }
  pool.ordered = true;
  pool.unwanted = false;
  pool.order_until.reset();
  if (command.length) pool.order_until = now + *command.length;
  pool.ordered_above = std::max(pool.ordered_above, command.above);
  pool.failed_here = false;
  pool.takeover_refused = false;
  pool.decision = new_decision();
  pool.decided_at = now;
  record(now, Severity::notice, "command", index, pool.decision,
         fmt::format("{}: {} wants it served here", name, command.by));
  out_.reply = CommandReply{true, fmt::format("{} is brought here", name), pool.decision};
}

Epoch Engine::known_epoch(PoolIndex index) const {
  const PartnerPool* partner = partner_pool(index);
  const Pool& pool = pools_[index];
  return std::max({wanted_.pools[index].epoch, pool.partner_known, pool.ordered_above,
                   partner ? partner->epoch : Epoch(), partner ? partner->claim : Epoch()});
}

// At most kClaimReach above what is known, so that a cluster can keep it before there is a claim.
Epoch Engine::epoch_to_claim(PoolIndex index) const {
  // Above what the partner may have made durable, on this node's own answer, just before it went silent.
  const Epoch claim = known_epoch(index).next().next();
  // Two that do not hear each other never come to the same: the one side's are odd, the other's even.
  const bool other_sides = claim.value() % 2 == (own_side_ == ccm::PairSide::lower ? 0 : 1);
  return config_.policy.cluster_decides && other_sides ? claim.next() : claim;
}

void Engine::command_demote(Instant now, const OperatorCommand& command) {
  if (!config_.policy.cluster_decides) {
    return refuse(now, command, "no cluster decides here (arbiter is not \"pacemaker\"): use hapair giveback");
  }
  if (offline_) return refuse(now, command, "this node is offline: " + node_reason().text());
  if (command.pools.size() != 1 || command.pools.front() >= pools_.size()) {
    return refuse(now, command, "there is no such pool");
  }
  const PoolIndex index = command.pools.front();
  Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  if (pool.ordered || pool.state == PoolState::failed) {
    pool.decision = new_decision();
    pool.decided_at = now;
    record(now, Severity::notice, "command", index, pool.decision,
           fmt::format("{}: {} does not want it served here", name, command.by));
  }
  pool.ordered = false;
  pool.unwanted = true;
  pool.order_until.reset();
  if (pool.state == PoolState::failed) fire(now, index, PoolEvent::cluster_demote, pool.decision);
  out_.reply = CommandReply{true, fmt::format("{} is not to be served here", name), pool.decision};
}

// What operators ask for elsewhere is asked of the cluster here; true: it was refused.
bool Engine::refuse_for_cluster(Instant now, const OperatorCommand& command) {
  if (!config_.policy.cluster_decides) return false;
  const char* instead = nullptr;
  switch (command.kind) {
    case OperatorCommand::Kind::takeover:
    case OperatorCommand::Kind::giveback:
      instead = "move the promoted clone there (crm resource move, pcs resource move)";
      break;
    case OperatorCommand::Kind::confirm_down:
      instead = "tell it to the cluster (stonith_admin --confirm NODE)";
      break;
    case OperatorCommand::Kind::inhibit:
      instead = "set it there (crm maintenance, crm node standby, pcs property set maintenance-mode, pcs node standby)";
      break;
    case OperatorCommand::Kind::allow:  // what was forbidden before the cluster decided
    case OperatorCommand::Kind::reset_record:
    case OperatorCommand::Kind::promote:
    case OperatorCommand::Kind::demote:
      return false;
  }
  refuse(now, command, fmt::format("Pacemaker decides here (arbiter is \"pacemaker\"): {}", instead));
  return true;
}

// Whether the cluster's order is a proof where the partner cannot be asked. Evidence that its kernel runs on and may
// have the pool stands against it: of the two this node yields, and waits for the cluster's fence to be seen, or for
// its agent to speak.
bool Engine::cluster_vouches(PoolIndex index) const {
  if (hears_partner()) return false;
  switch (assessment_.verdict) {
    case Verdict::unreachable:
    case Verdict::interconnect_lost:  // the cluster has links of its own
    case Verdict::unproven:
    case Verdict::panicked:
    case Verdict::rebooted:
      return true;
    case Verdict::unknown:  // this node's own CCM is not there: it sees nothing
    case Verdict::alive:    // it is about to speak
    case Verdict::storage_stalled:
      return false;
    case Verdict::agent_hung:
    case Verdict::hung:
    case Verdict::ccm_gone:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
      return partner_had_nothing(index);
  }
  return false;
}

// What the partner's agent said last, while its kernel runs on: before anything of a pool is started it is shown as
// acquiring, so one that was shown at rest has started nothing since. Of an agent that is offline, or has not spoken,
// or knows no such pool, nothing follows.
bool Engine::partner_had_nothing(PoolIndex index) const {
  const PartnerPool* partner = partner_pool(index);
  if (partner == nullptr || partner_->node_state == NodeState::offline) return false;
  switch (partner->state) {
    case PoolState::unsettled:
    case PoolState::elsewhere:
    case PoolState::asking:
    case PoolState::requesting:
    case PoolState::released:
      return true;
    case PoolState::probing:
    case PoolState::claiming:
    case PoolState::fencing:
    case PoolState::acquiring:
    case PoolState::starting:
    case PoolState::serving:
    case PoolState::stopping:
    case PoolState::releasing:
    case PoolState::failed:
      return false;
  }
  return false;
}

bool Engine::follow_cluster(Instant now, PoolIndex index) {
  if (!config_.policy.cluster_decides) return false;
  Pool& pool = pools_[index];
  if (pool.order_until && now >= *pool.order_until) {
    pool.order_until.reset();
    pool.ordered = false;
    record(now, Severity::warning, "order-over", index, pool.decision,
           fmt::format("{}: not served here in the time that the cluster gave ({}: {}), so its order counts no more",
                       plan(index).name.view(), text_of(pool.state), pool.reason));
  }
  switch (pool.state) {
    case PoolState::asking:
    case PoolState::requesting:
    case PoolState::starting:
    case PoolState::serving:
      return !pool.ordered && fire(now, index, PoolEvent::cluster_demote, pool.decision);
    case PoolState::fencing:
      return pool.ordered && cluster_vouches(index) && fire(now, index, PoolEvent::cluster_vouches, pool.decision);
    case PoolState::unsettled:
    case PoolState::elsewhere:
    case PoolState::released: {
      if (!pool.ordered || shutting_down_ || pool.failed_here || pool.takeover_refused || poisoned()) return false;
      if (!hears_partner()) {
        return cluster_vouches(index) && fire(now, index, PoolEvent::cluster_order, pool.decision);
      }
      // What it offers, or does not have, is seen on its page; what is its by the record alone it is asked for.
      const PartnerPool* partner = partner_pool(index);
      if (partner == nullptr || pool.state == PoolState::unsettled) return false;
      const bool holds_it = partner_holds(index);
      const bool by_record = partner->owner == PoolOwner::publisher && !partner->released &&
                             (partner->state == PoolState::unsettled || partner->state == PoolState::elsewhere);
      const bool ask = pool.state == PoolState::elsewhere ? holds_it && by_record : !holds_it;
      return ask && fire(now, index, PoolEvent::cluster_order, pool.decision);
    }
    case PoolState::probing:
    case PoolState::claiming:
    case PoolState::acquiring:
    case PoolState::stopping:
    case PoolState::releasing:
    case PoolState::failed:
      return false;
  }
  return false;
}

// When the cluster is to be told what this node knows of its partner; nothing: not at all. A pool must hang on it: of a
// partner that left in good order the cluster has stopped them all, and it may well be switched off on purpose.
std::optional<Instant> Engine::tell_cluster_at() const {
  const EnginePolicy& policy = config_.policy;
  const bool has_pool = std::ranges::any_of(wanted_.pools, [this](const PoolDurable& record) {
    return record.owner == config_.partner && !record.released && !record.earlier_life;
  });
  if (!policy.cluster_decides || shutting_down_ || !has_pool) return std::nullopt;
  switch (assessment_.verdict) {
    case Verdict::rebooted:
    case Verdict::panicked:
      if (any_rebooted()) return assessment_.since;
      return std::nullopt;
    case Verdict::unreachable:
    case Verdict::hung:
      // One whose own link is down may itself be the one that is cut off; one that has never seen its partner run knows
      // nothing.
      if (!policy.asks_for_fences && !policy.has_cluster_look) return std::nullopt;
      // What a strained node misses may be its own doing, and its Corosync, too, may stand when it is to listen.
      if (assessment_.own_link_down || seen_running_ == Verdict::unknown || strain_ > 1) return std::nullopt;
      return assessment_.since + policy.takeover_hold;
    case Verdict::unknown:
    case Verdict::unproven:
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::ccm_gone:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
    case Verdict::interconnect_lost:
      return std::nullopt;
  }
  return std::nullopt;
}

// Once for each verdict.
void Engine::tell_cluster(Instant now) {
  const std::optional<Instant> due = tell_cluster_at();
  if (!due || now < *due || told_cluster_ == assessment_.since) return;
  told_cluster_ = assessment_.since;
  const bool down = assessment_.verdict == Verdict::rebooted || assessment_.verdict == Verdict::panicked;
  ClusterWord word = config_.policy.asks_for_fences ? ClusterWord::fence : ClusterWord::look;
  if (down) word = ClusterWord::down;
  record(now, Severity::notice, "cluster-told", std::nullopt, partner_decision_, cluster_words(word));
  out_.commands.emplace_back(TellCluster{word});
}

std::string Engine::cluster_words(ClusterWord word) const {
  const std::string_view partner = config_.partner.view();
  const std::string_view seen = heartbeat::text_of(assessment_.verdict);
  switch (word) {
    case ClusterWord::look:
      return fmt::format("Corosync is asked to look for {} now: it is {} on every channel of hapair's", partner, seen);
    case ClusterWord::fence:
      return fmt::format("the cluster is asked to fence {} now: it is {} on every channel of hapair's", partner, seen);
    case ClusterWord::down:
      return fmt::format("the cluster is told that {} is down: it {}, so the life of it that had its pools is over",
                         partner, assessment_.verdict == Verdict::panicked ? "panicked" : "rebooted");
  }
  return {};
}

void Engine::on(Instant now, const ClusterTold& event) {
  const std::string_view partner = config_.partner.view();
  const double took = ms_of(event.took);
  std::string text;
  switch (event.word) {
    case ClusterWord::look:
      text = event.done ? fmt::format(
                              "Corosync looks for {} since {:.0f} ms: if it finds it, both stay as they are; if "
                              "not, Pacemaker fences it",
                              partner, took)
                        : fmt::format(
                              "Corosync could not be asked to look for {}: {}. It misses it by itself when its token "
                              "is lost",
                              partner, event.said);
      break;
    case ClusterWord::fence:
      text = event.done ? fmt::format("the cluster has fenced {}, after {:.0f} ms", partner, took)
                        : fmt::format(
                              "the cluster could not be asked to fence {}: {}. It comes to it by itself when "
                              "its token is lost",
                              partner, event.said);
      break;
    case ClusterWord::down:
      text = event.done ? fmt::format("the cluster knows that {} is down, after {:.0f} ms", partner, took)
                        : fmt::format(
                              "the cluster could not be told that {} is down: {}. It comes to that by itself "
                              "when its token is lost",
                              partner, event.said);
      break;
  }
  record(now, event.done ? Severity::info : Severity::warning, "cluster-answered", std::nullopt, partner_decision_,
         std::move(text));
}

// What an order still waits for; empty where none does.
NodeReason Engine::cluster_reason() const {
  const std::string_view partner = config_.partner.view();
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    if (!pool.ordered || pool.state == PoolState::serving) continue;
    const std::string_view name = plan(i).name.view();
    if (pool.takeover_refused) {
      return {fmt::format("{} is ordered here and not served: its claim could not be written", name),
              "free or repair the disk of state_dir"};
    }
    const PartnerPool* theirs = partner_pool(i);
    if (hears_partner() && theirs != nullptr && may_run(*theirs)) {
      return {fmt::format("{} is ordered here, and {} says that it has it ({})", name, partner, text_of(theirs->state)),
              fmt::format("see crm_mon: the clone must be demoted on {} first", partner)};
    }
    const bool idle = pool.state == PoolState::unsettled || pool.state == PoolState::elsewhere ||
                      pool.state == PoolState::released || pool.state == PoolState::fencing;
    if (idle && !hears_partner() && !cluster_vouches(i)) {
      return {fmt::format("{} is ordered here, and {} is {}: it may run there, and cannot be asked", name, partner,
                          heartbeat::text_of(assessment_.verdict)),
              assessment_.verdict == Verdict::unknown ? std::string("start ccmd here")
                                                      : fmt::format("have the cluster fence {}", partner)};
    }
    return {fmt::format("{} is ordered here and is {}: {}", name, text_of(pool.state), pool.reason), "see hapair why"};
  }
  return {};
}

}  // namespace hapair::agent
