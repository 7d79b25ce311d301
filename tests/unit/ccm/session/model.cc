#include "tests/unit/ccm/session/model.h"

#include <algorithm>
#include <utility>

namespace hapair::ccm::session_model {
namespace {

constexpr Duration kNewsTake = std::chrono::milliseconds(500);  // at the most

std::uint8_t state_byte(ClientState state) { return static_cast<std::uint8_t>(state); }
bool registered(const ClientSlotLayout& client) { return client.state == state_byte(ClientState::registered); }

std::string text_of(PortRef port) { return std::to_string(port.slot) + "." + std::to_string(port.index); }

// What a page says of one port: nothing where it does not list it.
const SessionPortLayout* port_in(const StatusPageLayout& page, PortRef port) {
  for (std::size_t i = 0; i < page.session.port_count; ++i) {
    const SessionPortLayout& one = page.session.ports.at(i);
    if (one.slot == port.slot && one.index == port.index) return &one;
  }
  return nullptr;
}

}  // namespace

PortWants wants(std::uint8_t ports, std::uint64_t memory_bytes) {
  return {.ports = ports, .rights = kPartnerReads | kPartnerWrites, .memory_bytes = memory_bytes};
}

std::string text_of(const SessionCommand& command) {
  static constexpr std::array<std::string_view, 5> kKinds{"expose", "conceal", "connect", "drop", "tell"};
  static constexpr std::array<std::string_view, 3> kStates{"waiting", "connecting", "ready"};
  std::string out(kKinds.at(static_cast<std::size_t>(command.kind)));
  out += " " + text_of(command.port);
  if (command.kind == SessionCommand::Kind::tell) {
    return out + " " + std::string(kStates.at(static_cast<std::size_t>(command.standing.state)));
  }
  return out + " rail " + std::to_string(command.rail.value());
}

// Incarnations are drawn at random, and so far apart.
ModelNode::ModelNode(std::uint64_t life)
    : incarnation(life * 0x9e3779b97f4a7c15U), session("model 1.0", Incarnation(incarnation)) {}

World::World() : nodes{ModelNode(1), ModelNode(2)} {}

void World::for_each_port(const std::function<void(PortRef)>& each) {
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    for (std::uint8_t index = 0; index < kMaxClientPorts; ++index) each({slot, index});
  }
}

void World::broken(std::size_t n, const std::string& rule, PortRef port) {
  if (broken_rule.empty()) broken_rule = "node " + std::to_string(n) + ", port " + text_of(port) + ": " + rule;
}

bool World::exists(std::size_t n, PortRef port) const {
  return registered(nodes[n].clients.at(port.slot)) && port.index < nodes[n].wishes.at(port.slot).ports;
}

void World::join(std::size_t n, std::uint8_t slot, std::string_view name, const PortWants& wish) {
  ModelNode& node = nodes[n];
  close_slot(n, slot);
  ClientSlotLayout& client = node.clients.at(slot);
  client = {};
  put_name(client.name, name);
  client.life = next_life_++;
  client.state = state_byte(ClientState::registered);
  node.wishes.at(slot) = wish;
  node.session.client_wants(slot, name, client.life, wish);
  for (PortStanding& told : node.told.at(slot)) told = {};
}

bool World::end(std::size_t n, std::uint8_t slot, ClientState how) {
  ModelNode& node = nodes[n];
  if (!registered(node.clients.at(slot))) return false;
  close_slot(n, slot);
  node.clients.at(slot).state = state_byte(how);
  node.wishes.at(slot) = {};
  node.session.client_ended(slot);
  return true;
}

bool World::same_round(std::size_t rail) const {
  const EarlyChannel& a = nodes[0].early.at(rail);
  const EarlyChannel& b = nodes[1].early.at(rail);
  return a.session != 0 && b.session != 0 && a.round == b.round;
}

// The end that is up first has drawn the round, and the other one joins it. An end that lost its round draws another,
// and nobody is in that before the other end has left its own old one: it took part in the handshake.
bool World::early_up(std::size_t n, std::size_t rail) {
  ModelNode& node = nodes[n];
  EarlyChannel& own = node.early.at(rail);
  const EarlyChannel& other = nodes[1 - n].early.at(rail);
  if (own.session != 0 || !cable.at(rail)) return false;
  const bool joins = other.session != 0 && other.partner_incarnation == node.incarnation && other.round > own.round;
  if (other.session != 0 && !joins) return early_down(1 - n, rail);
  own = {++node.early_count.at(rail), joins ? other.round : next_round_++, nodes[1 - n].incarnation};
  node.session.rail(RailId(rail), own.session);
  return true;
}

bool World::early_down(std::size_t n, std::size_t rail) {
  ModelNode& node = nodes[n];
  if (node.early.at(rail).session == 0) return false;
  node.early.at(rail).session = 0;
  node.read.at(rail).reset();
  node.session.rail(RailId(rail), 0);
  return true;
}

void World::cut(std::size_t rail) {
  cable.at(rail) = false;
  for (ModelNode& node : nodes) {
    for_each_port([&](PortRef port) {
      auto& connection = ModelNode::at(node.connections, port);
      if (connection && connection->rail == RailId(rail) && connection->state == Connection::State::up) {
        connection->state = Connection::State::broken;
      }
    });
  }
}

void World::rail_up(std::size_t rail) {
  cable.at(rail) = true;
  early_up(0, rail);
  early_up(1, rail);
}

void World::rail_down(std::size_t rail) {
  cut(rail);
  early_down(0, rail);
  early_down(1, rail);
}

StatusPageLayout World::page_of(std::size_t n) const {
  StatusPageLayout page{};
  page.incarnation = nodes[n].incarnation;
  page.clients = nodes[n].clients;
  page.session = nodes[n].session.block();
  return page;
}

bool World::capture(std::size_t n, std::size_t rail) {
  if (!cable.at(rail) || !same_round(rail) || nodes[n].read.at(rail)) return false;
  nodes[n].read.at(rail) = page_of(1 - n);
  return true;
}

bool World::deliver(std::size_t n, std::size_t rail) {
  ModelNode& node = nodes[n];
  if (!node.read.at(rail)) return false;
  const StatusPageLayout page = *node.read.at(rail);
  node.read.at(rail).reset();
  if (!node.session.partner(page)) broken(n, "a sound page was refused", {});
  if (!node.newest || node.newest->incarnation != page.incarnation ||
      page.session.serial >= node.newest->session.serial) {
    node.newest = page;
  }
  return true;
}

void World::advance(std::size_t n) {
  while (!nodes[n].news.empty() && now - nodes[n].news.front().when > kNewsTake) take_news(n);
  const auto commands = nodes[n].session.advance(now);
  for (const SessionCommand& command : commands) apply(n, command);
  for_each_port([&](PortRef port) {
    check_ends(n, port);
    check_standing(n, port);
  });
  const auto wake = nodes[n].session.next_wake();
  if (wake && *wake <= now) broken(n, "it wants to be woken at a time that has passed", {});
}

void World::apply(std::size_t n, const SessionCommand& command) {
  ModelNode& node = nodes[n];
  node.done.push_back(command);
  const PortRef port = command.port;
  auto& memory = ModelNode::at(node.memory, port);
  auto& connection = ModelNode::at(node.connections, port);
  const auto rail_is_up = [&] {
    return command.rail.value() < kRails && node.early.at(command.rail.value()).session != 0;
  };
  const auto round = [&] { return node.early.at(command.rail.value() % kRails).round; };
  switch (command.kind) {
    case SessionCommand::Kind::expose:
      if (!exists(n, port)) broken(n, "memory of a port that nobody has is opened", port);
      if (memory) broken(n, "memory is opened over two rails at once", port);
      if (!rail_is_up()) broken(n, "memory is opened over a rail that is down", port);
      if (command.exposure == 0 || !node.exposures.insert(command.exposure).second) {
        broken(n, "an exposure's number is used again", port);
      }
      memory = OpenMemory{command.exposure, command.rail, round(), node.newest ? node.newest->incarnation : 0,
                          shown_life(n, port)};
      break;
    case SessionCommand::Kind::conceal:
      if (!memory || memory->exposure != command.exposure || memory->rail != command.rail) {
        broken(n, "what is closed is not what was opened", port);
      }
      close(n, port);
      break;
    case SessionCommand::Kind::connect:
      if (!exists(n, port)) broken(n, "a port that nobody has is connected", port);
      if (connection) broken(n, "a second connection of one port is made", port);
      if (!rail_is_up()) broken(n, "a connection is made over a rail that is down", port);
      connection = Connection{
          .id = next_connection_++, .exposure = command.exposure, .rail = command.rail, .target = {}, .wants = {}};
      connection->round = round();
      if (node.newest) connection->incarnation = node.newest->incarnation;
      break;
    case SessionCommand::Kind::drop:
      if (!connection || connection->exposure != command.exposure || connection->rail != command.rail) {
        broken(n, "what is given up is no connection", port);
      }
      connection.reset();
      break;
    case SessionCommand::Kind::tell:
      if (!exists(n, port)) broken(n, "a client that is not there is told something", port);
      if (command.standing == ModelNode::at(node.told, port)) broken(n, "a client is told what it knows", port);
      ModelNode::at(node.told, port) = command.standing;
      break;
  }
}

// Told to be ready exactly where both directions are up by all that the node can know: its own connection, of which it
// has heard no loss, to the exposure that the partner shows; and its own memory, which the partner says to reach.
void World::check_standing(std::size_t n, PortRef port) {
  const ModelNode& node = nodes[n];
  const PortStanding& told = ModelNode::at(node.told, port);
  const auto& memory = ModelNode::at(node.memory, port);
  const auto& connection = ModelNode::at(node.connections, port);
  if (!exists(n, port)) return;
  const SessionPortLayout* shown = nullptr;
  std::uint64_t life = 0;
  if (node.newest && node.session.state() == SessionState::established) {
    for (std::uint8_t slot = 0; slot < kMaxClients && shown == nullptr; ++slot) {
      const ClientSlotLayout& client = node.newest->clients.at(slot);
      if (!registered(client) || name_in(client.name) != name_in(node.clients.at(port.slot).name)) continue;
      shown = port_in(*node.newest, {slot, port.index});
      life = client.life;
    }
  }
  const bool reaches = shown != nullptr && connection && connection->told && connection->exposure == shown->exposure;
  const bool reached = shown != nullptr && memory && shown->reaches == memory->exposure;
  if (told.state != PortStanding::State::ready) {
    if (reaches && reached) broken(n, "both directions are up, and the client does not know", port);
    if ((told.state == PortStanding::State::waiting) != (shown == nullptr)) {
      broken(n, "the client does not know whether the partner's client is there", port);
    }
    return;
  }
  if (!reaches || !reached) return broken(n, "a client takes its port for ready, and it is not", port);
  if (told.exposure != connection->exposure || told.rail != connection->rail || told.partner_life != life ||
      told.partner_life != connection->life || told.partner_memory != connection->wants.memory_bytes ||
      told.partner_rights != connection->wants.rights) {
    broken(n, "a client is told of another port of the partner than the one that it reaches", port);
  }
  if (!reached_.contains({connection->incarnation, node.incarnation, memory->exposure})) {
    broken(n, "a client takes its port for ready, and the partner has never reached it", port);
  }
}

// The life of the partner's client of the same name, by the page that counts; 0 where it is not there.
std::uint64_t World::shown_life(std::size_t n, PortRef port) const {
  const ModelNode& node = nodes[n];
  if (!node.newest) return 0;
  for (const ClientSlotLayout& client : node.newest->clients) {
    if (registered(client) && name_in(client.name) == name_in(node.clients.at(port.slot).name)) return client.life;
  }
  return 0;
}

// What a port has open or reaches rests on a rail's session and on a life of the partner, and ends with them.
void World::check_ends(std::size_t n, PortRef port) {
  const ModelNode& node = nodes[n];
  const auto over = [&](RailId rail, std::uint64_t round) {
    const EarlyChannel& early = node.early.at(rail.value() % kRails);
    return early.session == 0 || early.round != round;
  };
  const auto& memory = ModelNode::at(node.memory, port);
  if (memory && over(memory->rail, memory->round)) broken(n, "memory outlives the rail's session", port);
  if (memory &&
      (memory->partner_incarnation != node.newest->incarnation || memory->partner_life != shown_life(n, port))) {
    broken(n, "memory stays open to a life of the partner that is over", port);
  }
  const auto& connection = ModelNode::at(node.connections, port);
  if (connection && over(connection->rail, connection->round)) {
    broken(n, "a connection outlives the rail's session", port);
  }
  if (connection && connection->incarnation != node.newest->incarnation) {
    broken(n, "a connection to an earlier life of the partner is kept", port);
  }
}

// The memory is closed: who was connected to it is so no more, and will hear of it.
void World::close(std::size_t n, PortRef port) {
  auto& memory = ModelNode::at(nodes[n].memory, port);
  if (!memory) return;
  const std::uint32_t exposure = memory->exposure;
  memory.reset();
  for_each_port([&](PortRef other) {
    auto& connection = ModelNode::at(nodes[1 - n].connections, other);
    if (connection && connection->state == Connection::State::up && connection->exposure == exposure &&
        connection->target == port && connection->incarnation == nodes[n].incarnation) {
      connection->state = Connection::State::broken;
    }
  });
}

void World::close_slot(std::size_t n, std::uint8_t slot) {
  for (std::uint8_t index = 0; index < kMaxClientPorts; ++index) {
    close(n, {slot, index});
    ModelNode::at(nodes[n].connections, PortRef{slot, index}).reset();
  }
}

// An attempt shows a token, which is of an incarnation, a client's name, an index and an exposure: it finds the port
// that has all four and is open over this very rail, or nothing.
bool World::answer(std::size_t n, PortRef port) {
  ModelNode& node = nodes[n];
  const ModelNode& other = nodes[1 - n];
  auto& connection = ModelNode::at(node.connections, port);
  if (!connection || connection->state != Connection::State::attempt) return false;
  const std::uint32_t exposure = connection->exposure;
  const std::size_t rail = connection->rail.value();
  std::optional<PortRef> found;
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    const auto& memory = other.memory.at(slot).at(port.index);
    if (memory && memory->exposure == exposure && memory->rail == connection->rail &&
        memory->round == connection->round &&
        name_in(other.clients.at(slot).name) == name_in(node.clients.at(port.slot).name)) {
      found = PortRef{slot, port.index};
    }
  }
  const bool passes = cable.at(rail) && ports_pass.at(rail) && !(n == 1 && unreachable && unreachable == found);
  if (!found || connection->incarnation != other.incarnation || !passes) {
    connection->state = Connection::State::ended;
    node.news.push_back({false, port, node.clients.at(port.slot).life, exposure, connection->id, now});
    return true;
  }
  connection->state = Connection::State::up;
  connection->target = *found;
  connection->life = other.clients.at(found->slot).life;
  connection->wants = other.wishes.at(found->slot);
  reached_.insert({node.incarnation, other.incarnation, exposure});
  node.news.push_back({true, port, node.clients.at(port.slot).life, exposure, connection->id, now});
  return true;
}

bool World::notice_loss(std::size_t n, PortRef port) {
  ModelNode& node = nodes[n];
  auto& connection = ModelNode::at(node.connections, port);
  if (!connection || connection->state != Connection::State::broken) return false;
  connection->state = Connection::State::ended;
  node.news.push_back({false, port, node.clients.at(port.slot).life, connection->exposure, connection->id, now});
  return true;
}

bool World::take_news(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.news.empty()) return false;
  const News news = node.news.front();
  node.news.pop_front();
  if (!registered(node.clients.at(news.port.slot)) || node.clients.at(news.port.slot).life != news.life) return true;
  auto& connection = ModelNode::at(node.connections, news.port);
  const bool of_this_one = connection && connection->id == news.connection;
  if (news.connected) {
    if (of_this_one) connection->told = true;
    node.session.connected(news.port, news.exposure);
  } else {
    if (of_this_one) connection.reset();
    node.session.not_connected(now, news.port, news.exposure);
  }
  return true;
}

bool World::refuse_memory(std::size_t n, PortRef port) {
  const auto memory = ModelNode::at(nodes[n].memory, port);
  if (!memory) return false;
  close(n, port);
  nodes[n].session.not_exposed(now, port, memory->exposure);
  return true;
}

void World::restart(std::size_t n) {
  for_each_port([&](PortRef port) { close(n, port); });
  nodes[n] = ModelNode(next_incarnation_++);
}

bool World::run(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    bool busy = false;
    std::optional<Instant> wake;
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
      for (std::size_t rail = 0; rail < kRails; ++rail) {
        deliver(n, rail);
        capture(n, rail);
        deliver(n, rail);
      }
      for_each_port([&](PortRef port) { busy |= answer(n, port) || notice_loss(n, port); });
      while (take_news(n)) {
      }
      const std::size_t before = nodes[n].done.size();
      advance(n);
      busy |= nodes[n].done.size() != before;
      busy |= nodes[n].session.take_changed();
      const auto wish = nodes[n].session.next_wake();
      if (wish && (!wake || *wish < *wake)) wake = wish;
    }
    if (!broken_rule.empty()) return false;
    if (!busy && !wake) return true;
    now = busy ? now + std::chrono::milliseconds(1) : *wake;
  }
  return false;
}

bool World::settle(int rounds) {
  for (std::size_t rail = 0; rail < kRails; ++rail) {
    ports_pass.at(rail) = true;
    if (!same_round(rail)) {
      early_down(0, rail);
      early_down(1, rail);
    }
    rail_up(rail);
  }
  return run(rounds);
}

const PortStanding& World::standing(std::size_t n, PortRef port) const { return nodes[n].session.standing(port); }

bool World::ready(std::size_t n, PortRef port) const {
  return ModelNode::at(nodes[n].told, port).state == PortStanding::State::ready &&
         standing(n, port) == ModelNode::at(nodes[n].told, port);
}

std::optional<PortRef> World::twin(std::size_t n, PortRef port) const {
  if (!exists(n, port)) return std::nullopt;
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    const PortRef other{slot, port.index};
    if (exists(1 - n, other) &&
        name_in(nodes[1 - n].clients.at(slot).name) == name_in(nodes[n].clients.at(port.slot).name)) {
      return other;
    }
  }
  return std::nullopt;
}

std::string World::unfinished() const {
  std::string out;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    for_each_port([&](PortRef port) {
      const auto other = twin(n, port);
      const auto& memory = ModelNode::at(nodes[n].memory, port);
      const auto& connection = ModelNode::at(nodes[n].connections, port);
      const std::string where = "node " + std::to_string(n) + ", port " + text_of(port);
      if (!other) {
        if (memory || connection) out += where + " has memory or a connection that nobody wants; ";
        return;
      }
      const auto& there = ModelNode::at(nodes[1 - n].memory, *other);
      if (!ready(n, port)) out += where + " is not ready; ";
      if (!connection || !there || connection->state != Connection::State::up ||
          connection->exposure != there->exposure || connection->incarnation != nodes[1 - n].incarnation) {
        out += where + " is not connected to what is open; ";
      }
    });
  }
  return out;
}

void World::forget_commands() {
  for (ModelNode& node : nodes) node.done.clear();
}

}  // namespace hapair::ccm::session_model
