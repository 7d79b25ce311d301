#include "ccm/session/session.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

namespace hapair::ccm {
namespace {

using Kind = SessionCommand::Kind;
using State = PortStanding::State;

constexpr Duration kFirstRetry = std::chrono::milliseconds(5);
constexpr std::uint32_t kMostDoublings = 7;  // up to 640 ms
constexpr std::uint32_t kFailuresToShun = 3;
constexpr Duration kShunFor = std::chrono::seconds(2);

std::uint8_t bit_of(RailId rail) { return static_cast<std::uint8_t>(1U << rail.value()); }

}  // namespace

Session::Session(std::string_view software) {
  block_.protocol_min = kSessionProtocolMin;
  block_.protocol_max = kSessionProtocolMax;
  put_name(block_.software, software);
}

// ---- what comes in -----------------------------------------------------------------------------------------------

void Session::client_wants(std::uint8_t slot, std::string_view name, std::uint64_t life, const PortWants& wants) {
  HAPAIR_CHECK(wants.ports <= kMaxClientPorts, "the limits are checked where a client asks");
  client_ended(slot);
  Client& client = clients_.at(slot);
  put_name(client.name, name);
  client.life = life;
  client.wants = wants;
}

// Whoever holds the ports closes them all when their client ends; nothing has to be commanded.
void Session::client_ended(std::uint8_t slot) {
  clients_.at(slot) = {};
  ports_.at(slot) = {};
  dirty_ = true;
}

void Session::rail(RailId rail, std::uint64_t session) {
  dirty_ |= std::exchange(rail_sessions_.at(rail.value()), session) != session;
}

bool Session::partner(const StatusPageLayout& page) {
  if (!session_block_is_sound(page.session)) return false;
  const bool same_life = page.incarnation == partner_incarnation_;
  if (same_life && page.session.serial < partner_.serial) return true;  // read later, written earlier
  if (!same_life) {
    // Its numbers begin anew: what this node reached was another life's.
    for (auto& ports : ports_) {
      for (Port& port : ports) {
        if (port.reach) port.reach->exposure = 0;
        port.failures = 0;
        port.connect_again = {};
      }
    }
    partner_incarnation_ = page.incarnation;
  }
  // Beats of its clients are no news here.
  const auto same_client = [](const ClientSlotLayout& one, const ClientSlotLayout& other) {
    return one.life == other.life && one.state == other.state && one.name == other.name;
  };
  if (same_life && partner_ == page.session && std::ranges::equal(partner_clients_, page.clients, same_client)) {
    return true;
  }
  dirty_ = true;
  partner_ = page.session;
  partner_clients_ = page.clients;
  const std::uint16_t highest = std::min(partner_.protocol_max, kSessionProtocolMax);
  const std::uint16_t lowest = std::max(partner_.protocol_min, kSessionProtocolMin);
  state_ = highest >= lowest ? SessionState::established : SessionState::refused;
  protocol_ = state_ == SessionState::established ? highest : std::uint16_t{0};
  return true;
}

void Session::connected(PortRef ref, std::uint32_t exposure) {
  Port& port = port_at(ref);
  if (!port.reach || port.reach->exposure != exposure) return;
  port.reach->up = true;
  port.failures = 0;
  dirty_ = true;
}

void Session::not_connected(Instant now, PortRef ref, std::uint32_t exposure) {
  Port& port = port_at(ref);
  if (!port.reach || port.reach->exposure != exposure) return;
  const RailId rail = port.reach->rail;
  dirty_ = true;
  port.reach.reset();
  port.connect_again = now + kFirstRetry * (1U << std::min(port.failures, kMostDoublings));
  if (++port.failures >= kFailuresToShun) rail_shunned_until_.at(rail.value()) = now + kShunFor;
}

void Session::not_exposed(Instant now, PortRef ref, std::uint32_t exposure) {
  Port& port = port_at(ref);
  if (!port.exposure || port.exposure->number != exposure) return;
  rail_shunned_until_.at(port.exposure->rail.value()) = now + kShunFor;
  port.exposure.reset();
  port.expose_again = now + kShunFor;
  dirty_ = true;
}

// ---- what follows ------------------------------------------------------------------------------------------------

Session::Counterpart Session::counterpart(PortRef ref) const {
  if (state_ != SessionState::established) return {};
  const Client& client = clients_.at(ref.slot);
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    const ClientSlotLayout& other = partner_clients_.at(slot);
    if (other.state != static_cast<std::uint8_t>(ClientState::registered) ||
        name_in(other.name) != name_in(client.name)) {
      continue;
    }
    for (const SessionPortLayout& port : std::span(partner_.ports).first(partner_.port_count)) {
      if (port.slot == slot && port.index == ref.index) return {&port, other.life};
    }
  }
  return {};
}

// Of the rails that are connected, without those over which ports could not be reached, where another one is left.
std::uint8_t Session::usable_rails(Instant now) const {
  std::uint8_t connected = 0;
  std::uint8_t usable = 0;
  for (std::size_t i = 0; i < kMaxRails; ++i) {
    if (rail_sessions_.at(i) == 0) continue;
    connected = static_cast<std::uint8_t>(connected | bit_of(RailId(i)));
    if (now >= rail_shunned_until_.at(i)) usable = static_cast<std::uint8_t>(usable | bit_of(RailId(i)));
  }
  return usable != 0 ? usable : connected;
}

// The one it is on, as long as that is good: a port does not move for nothing.
RailId Session::rail_for(const Port& port, std::uint8_t rails) {
  if (port.exposure && (rails & bit_of(port.exposure->rail)) != 0) return port.exposure->rail;
  return RailId(static_cast<std::uint64_t>(std::countr_zero(rails)));
}

void Session::wake_at(Instant now, Instant when) {
  if (when > now) wake_ = wake_ ? std::min(*wake_, when) : when;
}

Session::Commands Session::advance(Instant now) {
  Commands out;
  if (!dirty_ && (!wake_ || now < *wake_)) return out;
  dirty_ = false;
  wake_.reset();
  for (const Instant until : rail_shunned_until_) wake_at(now, until);
  const std::uint8_t own_rails = usable_rails(now);
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    for (std::uint8_t index = 0; index < clients_.at(slot).wants.ports; ++index) {
      advance_port(now, {slot, index}, own_rails, out);
    }
  }
  write_block(own_rails);
  return out;
}

void Session::advance_port(Instant now, PortRef ref, std::uint8_t own_rails, Commands& out) {
  const Counterpart other = counterpart(ref);
  const auto common = static_cast<std::uint8_t>(own_rails & partner_.rails);
  advance_exposure(now, ref, other, common, out);
  advance_reach(now, ref, other, out);
  advance_standing(ref, other, out);
}

void Session::advance_exposure(Instant now, PortRef ref, const Counterpart& other, std::uint8_t rails, Commands& out) {
  Port& port = port_at(ref);
  const bool wanted = other.port != nullptr && rails != 0;
  const RailId rail = wanted ? rail_for(port, rails) : RailId();
  if (port.exposure) {
    const Exposure& now_open = *port.exposure;
    const bool stands = wanted && rail == now_open.rail && rail_sessions_.at(rail.value()) == now_open.rail_session &&
                        other.life == now_open.partner_life;
    if (stands) return;
    out.push({.kind = Kind::conceal, .port = ref, .rail = now_open.rail, .exposure = now_open.number, .standing = {}});
    port.exposure.reset();
  }
  if (!wanted) return;
  if (now < port.expose_again) return wake_at(now, port.expose_again);
  port.exposure = Exposure{++next_exposure_, rail, rail_sessions_.at(rail.value()), other.life};
  out.push({.kind = Kind::expose, .port = ref, .rail = rail, .exposure = next_exposure_, .standing = {}});
}

void Session::advance_reach(Instant now, PortRef ref, const Counterpart& other, Commands& out) {
  Port& port = port_at(ref);
  const bool open = other.port != nullptr && other.port->exposure != 0;
  const std::uint64_t session = open ? rail_sessions_.at(other.port->rail) : 0;
  if (port.reach) {
    const Reach& reach = *port.reach;
    const bool stands = open && session != 0 && reach.exposure == other.port->exposure &&
                        reach.rail == RailId(other.port->rail) && reach.rail_session == session;
    if (stands) return;
    out.push({.kind = Kind::drop, .port = ref, .rail = reach.rail, .exposure = reach.exposure, .standing = {}});
    port.reach.reset();
  }
  if (!open || session == 0) return;
  if (now < port.connect_again) return wake_at(now, port.connect_again);
  port.reach = Reach{other.port->exposure, RailId(other.port->rail), session, false};
  out.push(
      {.kind = Kind::connect, .port = ref, .rail = port.reach->rail, .exposure = port.reach->exposure, .standing = {}});
}

void Session::advance_standing(PortRef ref, const Counterpart& other, Commands& out) {
  Port& port = port_at(ref);
  PortStanding standing;
  if (other.port != nullptr) {
    standing.state = State::connecting;
    standing.partner_life = other.life;
    standing.partner_memory = other.port->memory_bytes;
    standing.partner_rights = other.port->rights;
    const bool reaches = port.reach && port.reach->up;
    const bool reached = port.exposure && other.port->reaches == port.exposure->number;
    if (reaches && reached) {
      standing.state = State::ready;
      standing.rail = port.reach->rail;
      standing.exposure = port.reach->exposure;
    }
  }
  if (standing == port.told) return;
  port.told = standing;
  out.push({.kind = Kind::tell, .port = ref, .rail = standing.rail, .exposure = 0, .standing = standing});
}

void Session::write_block(std::uint8_t rails) {
  SessionBlockLayout next = block_;
  next.rails = rails;
  next.port_count = 0;
  next.ports = {};
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    const PortWants& wants = clients_.at(slot).wants;
    for (std::uint8_t index = 0; index < wants.ports; ++index) {
      const Port& port = ports_.at(slot).at(index);
      SessionPortLayout& out = next.ports.at(next.port_count++);
      out.slot = slot;
      out.index = index;
      out.rights = wants.rights;
      out.memory_bytes = wants.memory_bytes;
      if (port.exposure) {
        out.exposure = port.exposure->number;
        out.rail = static_cast<std::uint8_t>(port.exposure->rail.value());
      }
      if (port.reach && port.reach->up) out.reaches = port.reach->exposure;
    }
  }
  if (next == block_) return;
  block_ = next;
  ++block_.serial;
  changed_ = true;
}

bool Session::take_changed() { return std::exchange(changed_, false); }

}  // namespace hapair::ccm
