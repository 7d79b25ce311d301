#include "tests/scenario/world_rails.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "heartbeat/observed.h"

namespace hapair::world {
namespace {

constexpr Duration kOperationDeadline = milliseconds(50);
constexpr Duration kLeastStep = std::chrono::microseconds(20);  // until a loop that was woken turns
constexpr std::uint64_t kClientAfter = 2;                       // rounds of its CCM its client is there
constexpr std::uint64_t kPortMemory = 4096;
// By then a connection has stood for as long as the session asks, and nothing that failed before is held against a
// rail.
constexpr Duration kPortsSettled = seconds(3);

ccm::Key key_of(bool wrong) {
  static constexpr std::string_view kPairs = "0123456789abcdef0123456789abcdef";
  static constexpr std::string_view kAnother = "fedcba9876543210fedcba9876543210";
  return ccm::Key::from_secret(std::as_bytes(std::span(wrong ? kAnother : kPairs)));
}

NodeName name_of(NodeIndex node) { return *NodeName::parse(node == 0 ? "a" : "b"); }

void lay_out(const ccm::ClientView& client, ccm::ClientSlotLayout& slot) {
  ccm::put_name(slot.name, client.name);
  slot.beat = client.beat;
  slot.life = client.life;
  slot.pace_us = static_cast<std::uint32_t>(client.pace / std::chrono::microseconds(1));
  slot.state = static_cast<std::uint8_t>(client.state);
  slot.completed = client.completed;
  slot.outstanding = client.outstanding;
  slot.stall_limit_ms = static_cast<std::uint32_t>(client.stall_limit / milliseconds(1));
}

void sooner(std::optional<Instant>& than, const std::optional<Instant>& when) {
  if (when && (!than || *when < *than)) than = when;
}

}  // namespace

World::Rails::Rails(std::uint64_t seed, std::size_t count)
    : random(seed), faults(count), networks(count), ports(seed, [this, seed] {
        for (auto& network : networks) network = std::make_unique<sim::SimNetwork>(sim::SimOptions{.seed = seed});
        return pointers(networks);
      }()) {
  link_told.resize(count);
  for (auto& network : networks) {
    for (const sim::Side side : {sim::Side::alpha, sim::Side::beta}) network->power_off(side);
  }
}

std::vector<sim::SimNetwork*> World::Rails::pointers(const std::vector<std::unique_ptr<sim::SimNetwork>>& networks) {
  std::vector<sim::SimNetwork*> all;
  all.reserve(networks.size());
  for (const auto& network : networks) all.push_back(network.get());
  return all;
}

World::CcmRails::CcmRails(Rails& all, NodeIndex node, Incarnation incarnation, const BootId& boot_id, bool wrong)
    : wrong_key(wrong),
      writer(*ring),
      reader(*ring),
      sessions(all.networks.size()),
      ports(all.ports, side_of(node), incarnation),
      broker(name_of(node), name_of(1 - node), incarnation, std::uint64_t{1} << 30U, ports, all.journal) {
  broker.set_clients(*this);
  const ccm::HandshakeIdentity identity{*PairName::parse("pair"), name_of(node), name_of(1 - node), incarnation,
                                        boot_id};
  rails.reserve(all.networks.size());
  for (std::size_t i = 0; i < all.networks.size(); ++i) {
    fabrics.push_back(std::make_unique<sim::SimFabric>(*all.networks[i], side_of(node)));
    (void)fabrics.back()->open();
    ccm::Rail& rail = rails.emplace_back(RailId(i), *RailName::parse("rail" + std::to_string(i)), identity,
                                         ccm::HandshakeSettings{kCcmPace, kOperationDeadline}, key_of(wrong),
                                         *fabrics.back(), all.random, all.journal);
    rail.set_observations(writer);
  }
}

// ---- the world ---------------------------------------------------------------------------------------------------

World::~World() = default;
World::Ccm::Ccm(Incarnation own, const ccm::PoisonSettings& poison)
    : incarnation(own), poison_taker(poison), poison_giver(own, 10 * kCcmPace) {}
World::Ccm::~Ccm() = default;

std::unique_ptr<World::Rails> World::make_rails() {
  if (options_.rails == 0) return nullptr;
  auto rails = std::make_unique<Rails>(options_.seed, options_.rails);
  rails->ports.on_deed([this](const sim::SimPortDeed& deed) {
    for (const auto& checker : checkers_) checker->on_port(*this, deed);
  });
  return rails;
}

void World::set_link(bool up) {
  link_up_ = up;
  if (!up) fault();
  if (!rails_) return;
  for (Rails::Faults& faults : rails_->faults) {
    if (up) faults = {};
    if (!up) faults.cut = true;
  }
  apply_rails();
}

void World::set_rail(std::size_t rail, RailFault fault, NodeIndex node, bool there) {
  if (!rails_ || rail >= rails_->faults.size()) return;
  Rails::Faults& faults = rails_->faults[rail];
  (fault == RailFault::cut       ? faults.cut
   : fault == RailFault::cut_way ? faults.cut_way.at(node)
                                 : faults.unplugged.at(node)) = there;
  if (there) this->fault();
  link_up_ = std::ranges::all_of(rails_->faults, [](const Rails::Faults& each) { return each == Rails::Faults{}; });
  apply_rails();
}

void World::set_load(const Load& load) {
  load_ = load;
  if (!rails_) return;
  // Of an answer's two ways; a delay of both stays below the time after which a fabric gives up.
  const auto loss = static_cast<unsigned>(load.lost_per_cent) * 5;
  const Duration most = std::max(load.delay, load.delayed_looks * kCcmPace / 4);
  if (loss > 0 || most.count() > 0) fault();
  for (auto& network : rails_->networks) {
    network->advance(wire());
    network->set_weather({}, most, loss);
  }
}

// Tells the simulated fabric of power, pauses, cuts and cables, at the time of now.
void World::apply_rails() {
  if (!rails_) return;
  ++port_changes_;
  rails_->ports.advance(wire());
  for (NodeIndex i = 0; i < kNodes; ++i) {
    const Node& node = nodes_[i];
    Rails::Told& told = rails_->told.at(i);
    for (std::size_t r = 0; r < rails_->networks.size(); ++r) {
      sim::SimNetwork& network = *rails_->networks[r];
      const Rails::Faults& faults = rails_->faults[r];
      network.advance(wire());
      if (node.host_up && !told.host_up) network.power_on(side_of(i));
      if (!node.host_up && told.host_up) network.power_off(side_of(i));
      node.paused ? network.stop(side_of(i)) : network.resume(side_of(i));
      network.cut(side_of(i), faults.cut || faults.cut_way.at(i));
      bool& unplugged = rails_->link_told[r].at(i);
      if (unplugged != faults.unplugged.at(i)) network.set_link(side_of(i), unplugged);
      unplugged = faults.unplugged.at(i);
    }
    if (node.paused && !told.paused) rails_->ports.stop(side_of(i));
    if (!node.paused && told.paused) rails_->ports.resume(side_of(i));
    told = {node.host_up, node.paused};
  }
}

bool World::rail_works() const {
  if (!rails_) return link_up_;
  const bool one =
      std::ranges::any_of(rails_->faults, [](const Rails::Faults& each) { return each == Rails::Faults{}; });
  return one && load_.lost_per_cent == 0 && load_.delayed_looks == 0 && load_.delay.count() == 0;
}

// ---- clients that want ports -------------------------------------------------------------------------------------

void World::kill_client(NodeIndex index) {
  Node& node = nodes_[index];
  if (node.paused) return;
  node.client_up = false;
  if (!wants_ports(index)) return;
  ++port_changes_;
  rails_->ports.advance(wire());
  node.ccm->rails->client.state = ccm::ClientState::gone;
  node.ccm->rails->broker.ended(kPortClientSlot);
}

void World::start_client(NodeIndex index) { nodes_[index].client_up = true; }

void World::register_client(NodeIndex index) {
  CcmRails& own = *nodes_[index].ccm->rails;
  ++port_changes_;
  own.client = {};
  own.client.name = "mirror";
  own.client.life = next_life_++;
  own.client.state = ccm::ClientState::registered;
  ccm::PortRequest request{.slot = kPortClientSlot, .life = own.client.life, .ports = kPortsOfClient};
  ccm::put_name(request.name, own.client.name);
  request.rights = ccm::kPartnerReads | ccm::kPartnerWrites;
  request.memory_bytes = kPortMemory;
  ccm::PortLimits limits;
  if (own.broker.request(request, limits) != ccm::ClientRefusal::none) violation(name(index) + " refuses its ports");
}

bool World::wants_ports(NodeIndex node) const {
  const auto& ccm = nodes_[node].ccm;
  return ccm && ccm->rails && ccm->rails->client.state == ccm::ClientState::registered;
}

bool World::ports_ready(NodeIndex node) const {
  return wants_ports(node) && nodes_[node].ccm->rails->ports.all_ready(kPortClientSlot);
}

// "ports: 1 ready over rail 2": as scenario files count rails.
std::string World::describe_ports(NodeIndex node) const {
  if (!wants_ports(node)) return {};
  std::string out = "     ports:";
  for (std::uint8_t index = 0; index < kPortsOfClient; ++index) {
    const ccm::PortStanding& told = nodes_[node].ccm->rails->ports.told({kPortClientSlot, index});
    out += fmt::format("{} {} {}", index == 0 ? "" : ",", index, text_of(told.state));
    if (told.state == ccm::PortStandingState::ready) out += fmt::format(" over rail {}", told.rail.value() + 1);
  }
  return out + "\n";
}

// ---- the CCM's round ---------------------------------------------------------------------------------------------

void World::open_rails(NodeIndex index) {
  if (!rails_) return;
  apply_rails();
  Node& node = nodes_[index];
  Ccm& own = *node.ccm;
  own.rails = std::make_unique<CcmRails>(*rails_, index, own.incarnation, node.boot_id, node.wrong_key);
  for (ccm::Rail& rail : own.rails->rails) {
    ccm::StatusPageLayout& page = rail.page();
    ccm::put_name(page.pair, "pair");
    ccm::put_name(page.node, name(index));
    page.incarnation = own.incarnation.value();
    page.boot_id = node.boot_id.bytes;
    page.pace_us = static_cast<std::uint32_t>(kCcmPace / std::chrono::microseconds(1));
  }
}

// ccmd reads its key when it starts: who gives it another one starts it again.
bool World::reread_key(NodeIndex index) {
  Node& node = nodes_[index];
  if (!rails_ || node.ccm->rails->wrong_key == node.wrong_key) return false;
  kill_ccm(index);
  start_ccm(index);
  return true;
}

void World::publish_over_rails(NodeIndex index) {
  if (!rails_) return;
  Ccm& own = *nodes_[index].ccm;
  for (ccm::Rail& rail : own.rails->rails) {
    ccm::StatusPageLayout& page = rail.page();
    page.ccm_beat = own.page.ccm_beat;
    page.phase = static_cast<std::uint8_t>(own.page.phase);
    page.phase_since_ms = static_cast<std::uint64_t>(own.page.phase_since / milliseconds(1));
    page.clients = {};
    for (std::size_t i = 0; i < own.page.clients.size(); ++i) lay_out(own.page.clients[i], page.clients.at(i));
    lay_out(own.rails->client, page.clients.at(kPortClientSlot));
    page.agent = own.page.agent;
    page.session = own.rails->broker.block();
    page.poison = own.poison_taker.answer();
    rail.publish(wire());
  }
}

void World::look_over_rails(NodeIndex index, bool beats) {
  Node& node = nodes_[index];
  Ccm& ccm = *node.ccm;
  CcmRails& own = *ccm.rails;
  const Incarnation incarnation = ccm.incarnation;
  if (beats) own.last_beat = now_;
  if (beats && ++own.beats > kClientAfter && node.client_up && !wants_ports(index)) register_client(index);
  ccm.session = Incarnation();
  bool sees = false;
  for (ccm::Rail& rail : own.rails) {
    rail.turn(wire(), beats, {});
    std::uint64_t& told = own.sessions.at(rail.id().value());
    const bool another = std::exchange(told, rail.self().sessions) != told;
    if (!rail.connected()) continue;
    ccm.session = rail.handshake().partner()->incarnation;
    sees = sees || rail.shows_partner();
    if (!another) continue;
    for (const auto& checker : checkers_) checker->on_session(*this, index, *rail.handshake().session());
  }
  const ccm::PoisonAnswerLayout answer = ccm.poison_taker.answer();
  poison_turn(index, sees);
  if (!node.ccm || node.ccm->incarnation != incarnation) return;
  if (ccm.poison_taker.answer() != answer) publish_over_rails(index);
  rails_->ports.advance(wire());
  own.broker.take_rails(own.rails);
  if (own.broker.turn(wire(), own.rails)) publish_over_rails(index);
  if (beats) rails_->ports.pulse(side_of(index));
  take_observations(index);
}

void World::take_observations(NodeIndex index) {
  Node& node = nodes_[index];
  Ccm& own = *node.ccm;
  while (own.rails->reader.next(own.rails->raw)) {
    if (!own.slot || own.slot->state != ccm::ClientState::registered || !node.agent) continue;
    Seen seen{heartbeat::observed(own.rails->raw), instant_of_ns(own.rails->raw.posted_ns) + leapt_, {}};
    seen.observation.when += leapt_;
    hand_over(index, std::move(seen));
  }
}

// Between two beats: what a rail, a port or the session has to do by then.
void World::turn_rails(NodeIndex index, Incarnation incarnation) {
  Node& node = nodes_[index];
  if (!node.ccm || node.ccm->incarnation != incarnation || node.ccm->rails->turn_at != now_) return;
  node.ccm->rails->turn_at.reset();
  look_over_rails(index, false);
  if (!node.ccm || node.ccm->incarnation != incarnation) return;
  if (node.agent && !node.agent_hung && !node.agent->inbox.empty()) take_in(index);
  arm_rails();
}

void World::arm_rails() {
  if (!rails_) return;
  for (NodeIndex i = 0; i < kNodes; ++i) {
    if (!nodes_[i].ccm || nodes_[i].paused) continue;
    CcmRails& own = *nodes_[i].ccm->rails;
    std::optional<Instant> wake = own.broker.next_wake();
    for (const ccm::Rail& rail : own.rails) sooner(wake, rail.next_wake());
    for (const auto& network : rails_->networks) sooner(wake, network->next_for(side_of(i)));
    sooner(wake, rails_->ports.next());
    if (own.ports.has_news()) wake = wire();
    if (!wake) continue;
    const Instant at = std::max(*wake + leapt_, now_ + kLeastStep);
    // With the beat, at the latest; of a loop that is late both are.
    if (at >= own.last_beat + kCcmPace || (own.turn_at && *own.turn_at > now_ && *own.turn_at <= at)) continue;
    own.turn_at = at;
    schedule(at - now_, Scope::node, i,
             [this, i, incarnation = nodes_[i].ccm->incarnation] { turn_rails(i, incarnation); });
  }
}

// Nothing of a rail or a port is under way, and nothing in them waits for a time.
bool World::rails_steady(NodeIndex index) const {
  if (!rails_) return true;
  const CcmRails& own = *nodes_[index].ccm->rails;
  const bool connected =
      std::ranges::all_of(own.rails, [](const ccm::Rail& rail) { return rail.connected() && rail.shows_partner(); });
  const bool still = std::ranges::all_of(rails_->networks, [](const auto& network) { return !network->next(); });
  return connected && still && !rails_->ports.next() && !own.ports.has_news() && !own.broker.next_wake() &&
         wire() - own.ports.stirred() >= kPortsSettled;
}

// What the partner would have read of each beat meanwhile, it reads of the last.
void World::skip_rails(NodeIndex index, Duration length) {
  if (!rails_) return;
  nodes_[index].ccm->rails->last_beat += length;
  publish_over_rails(index);
}

}  // namespace hapair::world
