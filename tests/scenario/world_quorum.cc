// Corosync of the world: rings, votequorum, and a third vote, as agent/core/quorum_lease.h relies on them. A ring takes
// its time to be formed, and nothing is delivered before. The third vote is a third node's, which is in a ring with one
// of the two or with both; or, with `device_slack`, a quorum device's, which gives it to the one at once when the other
// is lost, while that goes on counting it for so long.
#include <fmt/core.h>

#include <algorithm>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

constexpr Duration kRingTime = milliseconds(500);
constexpr Duration kLookTime = milliseconds(2);

}  // namespace

void World::set_ring(bool whole) {
  ring_cut_ = !whole;
  if (ring_cut_) fault();
  follow_corosync();
}

void World::set_corosync(NodeIndex node, bool runs) {
  corosync_.at(node).stopped = !runs;
  if (!runs) fault();
  follow_corosync();
}

void World::set_device(NodeIndex node, bool reached) {
  corosync_.at(node).cut_off = !reached;
  if (!reached) fault();
  follow_corosync();
}

bool World::has_corosync(NodeIndex node) const {
  return nodes_[node].powered && nodes_[node].host_up && !nodes_[node].paused && !corosync_.at(node).stopped;
}

// Before whatever happens next.
void World::follow_corosync() {
  if (!options_.corosync) return;
  form_rings();
  give_vote();
  for (NodeIndex n = 0; n < kNodes; ++n) {
    Corosync& own = corosync_.at(n);
    const bool quorate = own.running && now_ >= own.formed && (own.partner || counts_votes(n));
    if (own.quorate && !quorate) own.standing = ++standings_;
    own.quorate = quorate;
  }
}

void World::form_rings() {
  const bool joined = has_corosync(0) && has_corosync(1) && !ring_cut_;
  bool anew = false;
  for (NodeIndex n = 0; n < kNodes; ++n) {
    const bool runs = has_corosync(n);
    const bool changes = runs && (!corosync_.at(n).running || corosync_.at(n).partner != joined);
    if (!runs) corosync_.at(n).running = false;
    if (changes) anew = true;
  }
  if (!anew) return;
  const std::uint64_t ring = ++rings_;
  const Instant formed = now_ + vary(kRingTime);
  for (NodeIndex n = 0; n < kNodes; ++n) {
    Corosync& own = corosync_.at(n);
    const bool changes = has_corosync(n) && (joined || !own.running || own.partner);
    if (!changes) continue;
    own.running = true;
    own.partner = joined;
    own.ring = joined ? ring : ++rings_;
    own.formed = formed;
    own.standing = ++standings_;
    own.votes_until = Instant();  // a vote is for one ring
  }
}

void World::give_vote() {
  const auto asks = [this](NodeIndex n) {
    const Corosync& own = corosync_.at(n);
    return own.running && !own.partner && !own.cut_off && now_ >= own.formed;
  };
  const auto keeps = [this](NodeIndex n) {
    const Corosync& own = corosync_.at(n);
    return own.running && !own.partner && !own.cut_off;
  };
  if (vote_ && keeps(*vote_)) return;
  if (vote_) {
    Corosync& loser = corosync_.at(*vote_);
    if (loser.running && !loser.partner && loser.quorate) loser.votes_until = now_ + options_.device_slack;
    if (loser.running && !loser.partner) regroup(*vote_);
    vote_.reset();
  }
  for (NodeIndex n = 0; n < kNodes && !vote_; ++n) {
    if (!asks(n)) continue;
    vote_ = n;
    regroup(n);
  }
}

// A third node is in its ring, or is no longer.
void World::regroup(NodeIndex node) {
  if (options_.device_slack.count() > 0) return;
  Corosync& own = corosync_.at(node);
  own.ring = ++rings_;
  own.standing = ++standings_;
  own.formed = now_ + vary(kRingTime);
}

// Alone in its ring.
bool World::counts_votes(NodeIndex node) const {
  return (vote_ && *vote_ == node) || now_ < corosync_.at(node).votes_until;
}

void World::look_at_quorum(NodeIndex index) {
  if (!corosync_.at(index).running) return;  // never answered
  complete_look(index, now_, nodes_[index].agent_life);
}

// In the ring that is there when its messages are delivered.
void World::complete_look(NodeIndex index, Instant began, std::uint64_t life) {
  const Corosync& own = corosync_.at(index);
  const Duration forming = std::max(own.formed - now_, Duration{});
  schedule(forming + vary(kLookTime), Scope::node, index, [this, index, began, life, ring = own.ring] {
    const Corosync& then = corosync_.at(index);
    if (nodes_[index].agent_life != life || !then.running) return;
    if (then.ring != ring) return complete_look(index, began, life);
    const agent::QuorumLook look{.began = began,
                                 .quorate = then.quorate,
                                 .partner_member = then.partner,
                                 .standing = then.standing,
                                 .slack = options_.device_slack,
                                 .ring = fmt::format("{}.{}", index + 1, then.ring)};
    schedule(Duration{}, Scope::agent, index, [this, index, look] { step(index, agent::QuorumSeen{look}); });
  });
}

}  // namespace hapair::world
