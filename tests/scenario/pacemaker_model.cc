#include "tests/scenario/pacemaker_model.h"

#include <algorithm>
#include <utility>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

using agent::ClusterWord;
using agent::OperatorCommand;
using agent::PoolState;

constexpr Duration kCorosyncStarts = milliseconds(400);  // after its kernel
constexpr std::chrono::seconds kPromoteTimeout(20);
constexpr Duration kDemoteTimeout = seconds(20);
constexpr Duration kMonitorFails = seconds(3);  // so long a promoted instance is not well
constexpr Duration kBan = seconds(5);           // of a node on which a promotion failed

bool at_rest(PoolState state) {
  return state == PoolState::unsettled || state == PoolState::elsewhere || state == PoolState::released;
}

}  // namespace

PacemakerModel::PacemakerModel(World& world, std::uint64_t seed) : world_(&world), random_(seed ^ 0x63726dULL) {
  clones_.resize(world.pools());
  for (agent::PoolIndex i = 0; i < clones_.size(); ++i) clones_[i].wanted = i % 2;
  for (Duration& token : token_) token = between(300, 3000);
}

Duration PacemakerModel::between(int from_ms, int to_ms) {
  return milliseconds(std::uniform_int_distribution<int>(from_ms, to_ms)(random_));
}

void PacemakerModel::want(agent::PoolIndex pool, NodeIndex node) { clones_[pool].wanted = node; }

void PacemakerModel::repair() {
  ring_up_ = fence_works_ = true;
  for (Clone& clone : clones_) clone.banned_until = {};
}

void PacemakerModel::told(NodeIndex by, ClusterWord word) { words_.push_back({by, word}); }

bool PacemakerModel::runs(NodeIndex node) const {
  const auto& since = members_[node].up_since;
  return since && world_->now() - *since >= kCorosyncStarts && world_->powered(node) && !world_->paused(node);
}

bool PacemakerModel::takes_part(NodeIndex node) const {
  return runs(node) && members_[node].boots == world_->boots(node);
}

// One that hangs does not.
const agent::Engine* PacemakerModel::answers(NodeIndex node) const {
  return world_->agent_hung(node) || world_->paused(node) ? nullptr : world_->engine(node);
}

void PacemakerModel::turn() {
  look_at_members();
  hear_words();
  join();
  fence();
  place();
}

void PacemakerModel::look_at_members() {
  for (NodeIndex n : {0UL, 1UL}) {
    Member& member = members_[n];
    if (!world_->powered(n) || world_->panicked(n)) {
      member.up_since.reset();
    } else if (!member.up_since) {
      member.up_since = world_->now();
    }
  }
  for (NodeIndex n : {0UL, 1UL}) {
    Member& member = members_[n];
    const bool seen = sees(n) && member.boots == world_->boots(n);
    if (member.boots == 0 || seen || !takes_part(1 - n)) {
      member.missed_since.reset();
      continue;
    }
    if (!member.missed_since) member.missed_since = world_->now();
    if (world_->now() - *member.missed_since >= token_[n]) member.lost = true;
  }
}

void PacemakerModel::hear_words() {
  for (const Word& word : std::exchange(words_, {})) {
    const NodeIndex partner = 1 - word.by;
    Member& member = members_[partner];
    const bool counts = takes_part(word.by) && member.boots != 0;
    switch (word.word) {
      case ClusterWord::look:  // it asks Corosync, which finds what there is
        if (counts && member.missed_since) member.lost = true;
        break;
      case ClusterWord::fence:
        if (counts) member.condemned = true;
        break;
      case ClusterWord::down:
        if (counts) gone(partner);
        break;
    }
    world_->cluster_told(word.by, word.word);
  }
}

// A node that comes back in the life in which it was lost is as it was; one in a new life has nothing.
void PacemakerModel::join() {
  if (!sees(0)) return;
  for (NodeIndex n : {0UL, 1UL}) {
    Member& member = members_[n];
    if (member.boots != world_->boots(n)) {
      gone(n);
      member.boots = world_->boots(n);
    }
    member.lost = false;
  }
}

// That life of it is over.
void PacemakerModel::gone(NodeIndex node) {
  members_[node].boots = 0;
  members_[node].lost = members_[node].condemned = false;
  for (Clone& clone : clones_) {
    if (clone.at == node) clone.at.reset();
  }
}

// Each that takes part fences the other one where that is to be. In a split both do, and who is first wins.
void PacemakerModel::fence() {
  for (NodeIndex n : {0UL, 1UL}) {
    const NodeIndex target = 1 - n;
    Fence& fence = fences_[n];
    const bool due = members_[target].lost || members_[target].condemned;
    if (!due || !takes_part(n) || (fence.under_way && fence.by_boots != world_->boots(n))) {
      fence.under_way = false;
      continue;
    }
    if (!fence.under_way) {
      fence = {true, world_->now() + between(300, 2500), world_->boots(n)};
      continue;
    }
    if (world_->now() < fence.done) continue;
    fence.under_way = false;
    if (!fence_works_) continue;
    world_->power_off(target);
    gone(target);
    if (between(0, 99) < milliseconds(60)) world_->boot(target);  // the action was reboot, not off
  }
}

void PacemakerModel::place() {
  if (members_[0].lost || members_[1].lost || members_[0].condemned || members_[1].condemned) return;
  if (!takes_part(0) && !takes_part(1)) return;
  if (takes_part(0) && takes_part(1) && !ring_up_) return;
  for (agent::PoolIndex i = 0; i < clones_.size(); ++i) {
    if (clones_[i].at) {
      follow(i);
    } else {
      choose(i);
    }
  }
}

void PacemakerModel::choose(agent::PoolIndex pool) {
  Clone& clone = clones_[pool];
  const auto usable = [this, &clone](NodeIndex n) {
    const agent::Engine* engine = answers(n);
    return takes_part(n) && engine != nullptr && engine->node_state() != agent::NodeState::offline &&
           world_->now() >= clone.banned_until[n];
  };
  for (NodeIndex n : {0UL, 1UL}) {  // a probe finds it promoted already
    if (!usable(n) || answers(n)->pool_report(pool).state != PoolState::serving) continue;
    clone.at = n;
    clone.step = Step::promoted;
    return;
  }
  for (NodeIndex n : {clone.wanted, 1 - clone.wanted}) {
    if (usable(n)) return promote(pool, n);
  }
}

void PacemakerModel::promote(agent::PoolIndex pool, NodeIndex node) {
  Clone& clone = clones_[pool];
  clone.at = node;
  clone.step = Step::promoting;
  clone.since = world_->now();
  clone.not_well_since.reset();
  OperatorCommand command;
  command.kind = OperatorCommand::Kind::promote;
  command.by = "the cluster";
  command.pools = {pool};
  // Kept before it begins, as the resource agent has it.
  command.above = clone.highest;
  const Epoch known = std::max(clone.highest, answers(node)->pool_report(pool).highest);
  clone.highest = Epoch(known.value() + agent::kClaimReach);
  command.length = kPromoteTimeout;
  const auto reply = world_->command(node, command);
  if (reply && reply->accepted) return;
  clone.banned_until[node] = world_->now() + kBan;
  demote(pool);
}

void PacemakerModel::demote(agent::PoolIndex pool) {
  Clone& clone = clones_[pool];
  clone.step = Step::demoting;
  clone.since = world_->now();
  OperatorCommand command;
  command.kind = OperatorCommand::Kind::demote;
  command.by = "the cluster";
  command.pools = {pool};
  world_->command(*clone.at, command);
}

void PacemakerModel::follow(agent::PoolIndex pool) {
  Clone& clone = clones_[pool];
  const NodeIndex n = *clone.at;
  if (!takes_part(n)) return;  // it is missed, or comes up anew
  const agent::Engine* engine = answers(n);
  const bool serves = engine != nullptr && engine->pool_report(pool).state == PoolState::serving;
  const Duration taken = world_->now() - clone.since;
  switch (clone.step) {
    case Step::promoting:
      if (serves) {
        clone.step = Step::promoted;
      } else if (taken >= kPromoteTimeout) {
        clone.banned_until[n] = world_->now() + kBan;
        demote(pool);
      }
      return;
    case Step::promoted:
      if (serves) {
        clone.not_well_since.reset();
        const bool there = takes_part(clone.wanted) && answers(clone.wanted) != nullptr &&
                           world_->now() >= clone.banned_until[clone.wanted];
        if (clone.wanted != n && there) demote(pool);
        return;
      }
      if (!clone.not_well_since) clone.not_well_since = world_->now();
      if (world_->now() - *clone.not_well_since >= kMonitorFails) demote(pool);
      return;
    case Step::demoting:
      if (engine != nullptr && at_rest(engine->pool_report(pool).state)) {
        clone.at.reset();
      } else if (taken >= kDemoteTimeout) {
        members_[n].condemned = true;  // a stop that failed
      }
      return;
  }
}

}  // namespace hapair::world
