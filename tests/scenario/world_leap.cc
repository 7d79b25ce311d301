// Leaps over quiet. Two nodes that see each other well beat and look a hundred times a second, and for hours none of it
// changes anything but counters that go on evenly. Such a stretch, up to the next event that is no beat, is leapt over:
// the counters are what they would have become, the judges' clocks stand still meanwhile (LeapClock), and whatever
// comes next meets both nodes as if each beat had been simulated. tests/sim/leap_test.cc compares the records of both
// ways.
//
// Why nothing is skipped that an engine or a judge would have seen:
//  - Between two events that are no beats only rounds of the two CCMs happen, each of which publishes a page, reads the
//    other's and hands it to the judge. Three rounds after the last event both pages have been published and read.
//  - Each judge has seen more than a minute of looks that came at the pace, showed every beat moving and left the
//    verdict alive. Its windows of 64 arrivals then hold nothing else, so every further look leaves it as it is; and
//    its longest memory, of flaps, is a minute. The network beats at every other round, so leaps are of even rounds.
//  - The engine is told nothing by such a look: the verdict stands, the page shows the same place and block, and it
//  does not
//    wait for a page of the partner. Its timers are events, which end the stretch.
//  - Nothing is drawn from the seed in such a round, and events of one time keep their order.
// A node that is paused, hung, down, cut off, strained or alone is not leapt over: it is simulated beat by beat.
#include <algorithm>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

constexpr Duration kSettled = 3 * kCcmPace;
constexpr Duration kStep = 2 * kCcmPace;                            // of even rounds
constexpr std::uint64_t kSteadyLooks = 61 * seconds(1) / kCcmPace;  // longer than a detector remembers flaps
constexpr std::size_t kWindow = 64;                                 // of a detector's arrivals

bool moves(const heartbeat::Detector* detector, Duration allowed) {
  return detector == nullptr || detector->silence() <= allowed;
}

bool is_idle(const Load& load) {
  return load.late.count() == 0 && load.stalls_per_mille == 0 && load.lost_per_cent == 0 && load.delayed_looks == 0 &&
         load.memory_per_cent == 0 && load.io_per_cent == 0;
}

}  // namespace

// After each round of the CCM that its agent has looked at.
void World::note_look(NodeIndex index) {
  Agent& own = *nodes_[index].agent;
  const heartbeat::PartnerWatch& watch = own.watch;
  bool regular = now_ - own.looked == kCcmPace && watch.assessment().verdict == heartbeat::Verdict::alive &&
                 !watch.assessment().stalled && watch.assessment().hung_client.empty();
  regular = regular && moves(&watch.rail_detector(), {}) && moves(&watch.ccm_detector(), {}) &&
            moves(&watch.agent_detector(), {}) && moves(watch.network_detector(NetworkId(0)), kCcmPace);
  for (const heartbeat::WatchedClient& client : watch.clients().clients()) {
    regular = regular && !client.stalled && (!client.beats || moves(&*client.beats, {})) &&
              (!client.work || moves(&*client.work, {}));
  }
  own.steady_looks = regular ? own.steady_looks + 1 : 0;
  own.looked = now_;
}

bool World::steady(NodeIndex index) const {
  const Node& node = nodes_[index];
  const Node& partner = nodes_[1 - index];
  if (!node.agent || node.agent->steady_looks < kSteadyLooks || !node.ccm || !partner.ccm || !partner.agent) {
    return false;
  }
  if (node.paused || node.agent_hung || node.goes_down || !node.deferred.empty() || !link_up_ || !is_idle(load_)) {
    return false;
  }
  const Agent& own = *node.agent;
  const ccm::StatusView& shown = partner.ccm->page;
  const bool learnt = own.watch.rail_detector().arrivals() == kWindow &&
                      own.watch.ccm_detector().arrivals() == kWindow &&
                      own.watch.agent_detector().arrivals() == kWindow;
  const bool seen = own.seen_serial == shown.agent.serial && own.seen_life == shown.agent.agent_life &&
                    partner.agent->block && partner.agent->block->serial == shown.agent.serial && own.told_sighting &&
                    own.told_sighting->phase == shown.phase && own.told_sighting->boot_id == shown.boot_id &&
                    shown.phase == partner.phase;
  // The time in this phase has a bound, which passes without an event.
  const bool bounded = partner.phase == ccm::BootPhase::early || partner.phase == ccm::BootPhase::unknown;
  return learnt && seen && !bounded && own.inbox.empty() && own.health.strain().factor == 1 &&
         !own.engine.wants_sighting() && node.ccm->session == partner.ccm->incarnation;
}

void World::leap(Instant end) {
  if (now_ - stirred_ < kSettled || !steady()) return;
  std::vector<Scheduled> rounds;
  while (rounds.size() < kNodes && !queue_.empty() && queue_.top().scope == Scope::beat) {
    rounds.push_back(queue_.top());
    queue_.pop();
  }
  Duration length{};
  if (rounds.size() == kNodes && rounds[0].node != rounds[1].node) {
    const Instant next = queue_.empty() ? end : std::min(end, queue_.top().at);
    length = std::max((next - rounds[1].at) / kStep, Duration::rep{0}) * kStep;
  }
  for (Scheduled& round : rounds) {
    if (length.count() > 0) {
      round.at += length;
      round.serial = ++serial_;  // the round before it would have scheduled it, after all events that wait
      skip(round.node, length, round.at - kCcmPace);
    }
    queue_.push(std::move(round));
  }
  leapt_ += length;
}

// As if the node's rounds of so long a time had been simulated, the last of them at `last_round`.
void World::skip(NodeIndex index, Duration length, Instant last_round) {
  Node& node = nodes_[index];
  Ccm& own = *node.ccm;
  Agent& agent = *node.agent;
  const auto rounds = static_cast<std::uint64_t>(length / kCcmPace);
  own.beat += rounds;
  own.slot->beat += rounds;
  if (own.storage) {
    own.storage->beat += rounds;
    own.storage->completed += rounds;
  }
  own.page.ccm_beat += rounds;
  own.page.phase_since += length;
  for (ccm::ClientView& client : own.page.clients) {
    client.beat += rounds;
    if (client.name != ccm::kAgentClientName) client.completed += rounds;
  }
  own.network_met_beat += rounds;
  own.network_serial += rounds / 2;
  agent.clock.leap(agent.looked, kStep, length);
  agent.looked += length;
  agent.sample.when += (last_round - agent.sample.when) / seconds(1) * seconds(1);  // it looks at itself so often
}

}  // namespace hapair::world
