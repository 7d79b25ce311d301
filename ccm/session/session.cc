#include "ccm/session/session.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <ranges>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

using Kind = SessionCommand::Kind;
using State = PortStanding::State;

constexpr Duration kFirstRetry = std::chrono::milliseconds(5);
constexpr std::uint32_t kMostDoublings = 7;  // up to 640 ms
constexpr std::uint32_t kFailuresToAvoid = 3;
constexpr Duration kAvoidFor = std::chrono::seconds(2);
constexpr Duration kGivenUpFor = std::chrono::seconds(1);  // longer than any answer of the ports is on its way
// A connection that ends sooner has failed as one that never was: a path may let small frames pass and no large ones.
constexpr Duration kStandsAfter = std::chrono::seconds(1);

std::uint8_t bit_of(RailId rail) { return static_cast<std::uint8_t>(1U << rail.value()); }

}  // namespace

Session::Session(std::string_view software, Incarnation own) : last_exposure_(static_cast<std::uint32_t>(own.value())) {
  block_.protocol_min = kSessionProtocolMin;
  block_.protocol_max = kSessionProtocolMax;
  block_.capabilities = kCapabilityPoison | kCapabilityPoisonReset;
  put_name(block_.software, software);
}

// ---- what comes in -----------------------------------------------------------------------------------------------

void Session::client_wants(std::uint8_t slot, std::string_view name, std::uint64_t life, const PortWants& wants) {
  HAPAIR_CHECK(wants.ports <= kMaxClientPorts, "the limits are checked where a client asks");
  client_ended(slot);
  std::size_t ports = wants.ports;
  for (const Client& other : clients_) ports += other.wants.ports;
  HAPAIR_CHECK(ports <= kMaxPorts, "the limits are checked where a client asks");
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
    // What this life shows was not tried yet, whatever became of the same number of another one.
    for (Port& port : std::views::join(ports_)) port.failures = {};
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
  dirty_ = true;
}

void Session::not_connected(Instant now, PortRef ref, std::uint32_t exposure) {
  Port& port = port_at(ref);
  if (!port.reach || port.reach->exposure != exposure) return;
  forgive(now, port);
  Failures& failures = port.failures;
  failures.rail = port.reach->rail;
  failures.exposure = exposure;
  failures.again = now + kFirstRetry * (1U << std::min(failures.count, kMostDoublings));
  if (++failures.count >= kFailuresToAvoid) failures.avoid_until.at(failures.rail.value()) = now + kAvoidFor;
  port.reach.reset();
  dirty_ = true;
}

void Session::not_exposed(Instant now, PortRef ref, std::uint32_t exposure) {
  Port& port = port_at(ref);
  if (!port.exposure || port.exposure->number != exposure) return;
  port.cannot_open_until.at(port.exposure->rail.value()) = now + kAvoidFor;
  port.exposure.reset();
  dirty_ = true;
}

// What failed before a connection that stood for a while is not held against the rail any more.
void Session::forgive(Instant now, Port& port) {
  if (port.reach && port.reach->stands_since && now - *port.reach->stands_since >= kStandsAfter) port.failures = {};
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

std::uint8_t Session::connected_rails() const {
  std::uint8_t rails = 0;
  for (std::size_t i = 0; i < kMaxRails; ++i) {
    if (rail_sessions_.at(i) != 0) rails = static_cast<std::uint8_t>(rails | bit_of(RailId(i)));
  }
  return rails;
}

std::uint8_t Session::not_yet(Instant now, const std::array<Instant, kMaxRails>& until) {
  std::uint8_t rails = 0;
  for (std::size_t i = 0; i < kMaxRails; ++i) {
    if (now >= until.at(i)) continue;
    wake_at(now, until.at(i));
    rails = static_cast<std::uint8_t>(rails | bit_of(RailId(i)));
  }
  return rails;
}

// A port that the partner cannot reach moves where another rail is left, and it alone: others may be well there. It
// stays on its rail as long as that is good: a port does not move for nothing.
std::optional<RailId> Session::rail_for(Instant now, const Port& port, const Counterpart& other) {
  if (other.port == nullptr) return std::nullopt;
  const unsigned open = connected_rails() & partner_.rails & ~unsigned{not_yet(now, port.cannot_open_until)};
  if (open == 0) return std::nullopt;
  const unsigned liked = open & ~unsigned{other.port->avoids};
  const unsigned rails = liked != 0 ? liked : open;
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
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    for (std::uint8_t index = 0; index < clients_.at(slot).wants.ports; ++index) {
      const PortRef ref{slot, index};
      const Counterpart other = counterpart(ref);
      advance_exposure(now, ref, other, out);
      advance_reach(now, ref, other, out);
      advance_standing(ref, other, out);
    }
  }
  write_block(now);
  return out;
}

void Session::advance_exposure(Instant now, PortRef ref, const Counterpart& other, Commands& out) {
  Port& port = port_at(ref);
  const std::optional<RailId> rail = rail_for(now, port, other);
  if (port.exposure) {
    const Exposure& open = *port.exposure;
    const bool stands = rail == open.rail && rail_sessions_.at(open.rail.value()) == open.rail_session &&
                        partner_incarnation_ == open.partner_incarnation && other.life == open.partner_life;
    if (stands) return;
    out.push({.kind = Kind::conceal, .port = ref, .rail = open.rail, .exposure = open.number, .standing = {}});
    port.exposure.reset();
  }
  if (!rail) return;
  if (++last_exposure_ == 0) ++last_exposure_;
  port.exposure = Exposure{last_exposure_, *rail, rail_sessions_.at(rail->value()), partner_incarnation_, other.life};
  out.push({.kind = Kind::expose, .port = ref, .rail = *rail, .exposure = last_exposure_, .standing = {}});
}

void Session::advance_reach(Instant now, PortRef ref, const Counterpart& other, Commands& out) {
  Port& port = port_at(ref);
  const bool open = other.port != nullptr && other.port->exposure != 0;
  const RailId rail(open ? other.port->rail : 0);
  const std::uint64_t session = open ? rail_sessions_.at(rail.value()) : 0;
  if (port.reach) {
    Reach& reach = *port.reach;
    const bool same_partner = reach.partner_incarnation == partner_incarnation_;
    const bool stands = open && session != 0 && reach.exposure == other.port->exposure && reach.rail == rail &&
                        reach.rail_session == session && same_partner && reach.partner_life == other.life;
    if (stands) {
      if (reach.up && !reach.stands_since) reach.stands_since = now;
      return;
    }
    forgive(now, port);
    out.push({.kind = Kind::drop, .port = ref, .rail = reach.rail, .exposure = reach.exposure, .standing = {}});
    // Its token was most likely of a session or a client that is no more, and what is still told of this attempt must
    // not be taken for news of another one. Another incarnation has other numbers.
    if (same_partner) {
      port.failures.exposure = reach.exposure;
      port.failures.again = now + kGivenUpFor;
    }
    port.reach.reset();
  }
  if (!open || session == 0) return;
  Failures& failures = port.failures;
  if (failures.exposure == other.port->exposure && now < failures.again) return wake_at(now, failures.again);
  if (failures.rail != rail) failures.count = 0;
  port.reach = Reach{other.port->exposure, rail, session, partner_incarnation_, other.life, false, std::nullopt};
  out.push({.kind = Kind::connect, .port = ref, .rail = rail, .exposure = other.port->exposure, .standing = {}});
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

void Session::write_block(Instant now) {
  SessionBlockLayout next = block_;
  next.rails = connected_rails();
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
      out.avoids = not_yet(now, port.failures.avoid_until);
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
