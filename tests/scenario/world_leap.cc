// Leaps over quiet. Two nodes that see each other well beat and look a hundred times a second, and for hours none of it
// changes anything but counters that go on evenly. Such a stretch, up to the next event that is no beat, is leapt over:
// the counters are what they would have become, the judges' clocks stand still meanwhile (LeapClock), and whatever
// comes next meets both nodes as if each beat had been simulated. tests/sim/leap_test.cc compares the records of both
// ways.
//
// Why nothing is skipped that an engine or a judge would have seen:
//  - Between two events that are no beats only rounds of the two CCMs happen, each of which publishes a page, reads the
//    other's and hands it to the judge. Whatever is to be published has been, and was read and handed on.
//  - Each judge has seen more looks than its windows hold (64 arrivals) that came at the pace, showed every beat moving
//    and left the verdict alive, so every further look leaves it as it is. What it remembers for longer is flaps, for a
//    minute: so long after any silence that may have counted as one nothing is leapt over. The network beats at every
//    other round, so leaps are of even rounds.
//  - The engine is told nothing by such a look: the verdict stands, the page shows the same place and block, and it
//  does
//    not wait for a page of the partner. Its timers are events, which end the stretch.
//  - The watchdog was fed in each of the rounds: none is after the time to which it is to be fed.
//  - Nothing is drawn from the seed in such a round, and events of one time keep their order.
// A node that is paused, hung, down, cut off, strained or alone is not leapt over: it is simulated beat by beat.
#include <algorithm>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

constexpr Duration kSettled =
    3 * kCcmPace;                         // by then whatever was done to the world from outside is published and read
constexpr Duration kStep = 2 * kCcmPace;  // of even rounds
constexpr std::size_t kWindow = 64;       // of a detector's arrivals
constexpr std::uint64_t kSteadyLooks = kWindow + 6;
constexpr Duration kFlapsRemembered = seconds(61);

Duration silence_of(const heartbeat::Detector* detector) {
  return detector == nullptr ? Duration{} : detector->silence();
}

constexpr Duration kLongestLimit = milliseconds(500);  // the ceiling: a longer silence was no flap

// A silence that ended, or was forgotten, and with the look at its end may have been as long as the least limit.
bool may_flap(Duration before, Duration now, Duration usual) { return before > usual && now < before; }

bool is_idle(const Load& load) {
  return load.late.count() == 0 && load.stalls_per_mille == 0 && load.lost_per_cent == 0 && load.delayed_looks == 0 &&
         load.delay.count() == 0 && load.memory_per_cent == 0 && load.io_per_cent == 0;
}

}  // namespace

// After each round of the CCM that its agent has looked at.
void World::note_look(NodeIndex index) {
  const heartbeat::PartnerWatch& watch = nodes_[index].agent->watch;
  LookNotes& notes = nodes_[index].agent->looks;
  const bool at_pace = now_ - notes.last == kCcmPace;
  const std::array<Duration, 4> silences{silence_of(&watch.rail_detector()), silence_of(&watch.ccm_detector()),
                                         silence_of(&watch.agent_detector()),
                                         silence_of(watch.network_detector(NetworkId(0)))};
  const std::array<Duration, 4> usual{Duration{}, Duration{}, Duration{},
                                      kCcmPace};  // the network beats every other round
  bool regular = at_pace && watch.assessment().verdict == heartbeat::Verdict::alive && !watch.assessment().stalled &&
                 watch.assessment().hung_client.empty();
  // Looks that were not noted one by one may have been anything; the first of a judge that has learnt nothing is none.
  bool flap = !at_pace && (notes.last != Instant() || watch.rail_detector().arrivals() > 0);
  for (std::size_t i = 0; i < silences.size(); ++i) {
    regular = regular && silences[i] <= usual[i];
    flap = flap || (notes.silences[i] <= kLongestLimit && may_flap(notes.silences[i], silences[i], usual[i]));
  }
  for (const heartbeat::WatchedClient& client : watch.clients().clients()) {
    const bool moves = (!client.beats || client.beats->silence() == Duration{}) &&
                       (!client.work || client.work->silence() == Duration{});
    regular = regular && moves && !client.stalled;
    flap = flap || !moves;
  }
  if (flap) notes.may_have_flapped = now_;
  notes.steady = regular ? notes.steady + 1 : 0;
  notes.silences = silences;
  notes.last = now_;
}

bool World::steady(NodeIndex index) const {
  const Node& node = nodes_[index];
  const Node& partner = nodes_[1 - index];
  if (options_.mailbox_beats) return false;  // a disk takes its time, which is drawn
  if (!node.agent || node.agent->looks.steady < kSteadyLooks || !node.ccm || !partner.ccm || !partner.agent) {
    return false;
  }
  if (node.paused || node.agent_hung || node.goes_down || !node.deferred.empty() || !link_up_ || !is_idle(load_)) {
    return false;
  }
  const Agent& own = *node.agent;
  const auto& flap = own.looks.may_have_flapped;
  const ccm::StatusView& shown = partner.ccm->page;
  const auto& slot = partner.ccm->slot;
  const bool learnt = own.watch.rail_detector().arrivals() == kWindow &&
                      own.watch.ccm_detector().arrivals() == kWindow &&
                      own.watch.agent_detector().arrivals() == kWindow && (!flap || now_ - *flap >= kFlapsRemembered);
  const bool published = slot && slot->state == ccm::ClientState::registered && !shown.clients.empty() &&
                         shown.clients.front().life == slot->life && shown.phase == partner.phase &&
                         partner.agent->block && partner.agent->block->serial == shown.agent.serial;
  const bool read = own.blocks.has_told(shown.agent) && own.inbox.empty() && own.told_sighting &&
                    own.told_sighting->phase == shown.phase && own.told_sighting->boot_id == shown.boot_id &&
                    node.ccm->session == partner.ccm->incarnation;
  // The time in this phase has a bound, which passes without an event.
  const bool bounded = partner.phase == ccm::BootPhase::early || partner.phase == ccm::BootPhase::unknown;
  // The CCM has taken what the agent wants of the watchdog, and told it.
  const bool fed = !own.fed_until || (own.fed_until->until == node.fed_until && own.told_ground &&
                                      own.told_ground->fed_until == node.fed_until);
  const bool poisons = node.ccm->poison_taker.state() == ccm::PoisonState::accepted ||
                       node.ccm->poison_taker.state() == ccm::PoisonState::resetting || node.ccm->poison_slot ||
                       node.ccm->poison_giver.pending() || own.poison_asked != node.ccm->poison_giver.asked();
  return !poisons && rails_steady(index) && learnt && published && read && fed && !bounded &&
         own.health.strain().factor == 1 && !own.engine.wants_sighting();
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
    Instant next = queue_.empty() ? end : std::min(end, queue_.top().at);
    for (const Node& node : nodes_) next = std::min(next, node.fed_until.value_or(next));
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
  node.fed_at = last_round;
  agent.clock.leap(agent.looks.last, kStep, length);
  agent.looks.last += length;
  agent.sample.when += (last_round - agent.sample.when) / seconds(1) * seconds(1);  // it looks at itself so often
  skip_rails(index, length);
}

}  // namespace hapair::world
