#include "ccm/daemon/port_broker.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/session/port_token.h"

namespace hapair::ccm {
namespace {

constexpr std::uint64_t kLeastMemory = 4096;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMost = std::uint64_t{1} << 40U;  // beyond it sums could wrap

std::string port_text(std::string_view client, std::uint8_t index) {
  return "port " + std::to_string(index) + " of client " + std::string(client);
}

}  // namespace

PortBroker::PortBroker(const NodeName& node, const NodeName& partner, Incarnation own, std::uint64_t most_bytes,
                       PortCarrier& carrier, Journal& journal)
    : node_(node),
      partner_(partner),
      most_bytes_(most_bytes),
      carrier_(&carrier),
      journal_(&journal),
      session_(HAPAIR_VERSION, own) {}

// ---- clients -----------------------------------------------------------------------------------------------------

ClientRefusal PortBroker::request(const PortRequest& request, PortLimits& limits) {
  if (held_.at(request.slot).life != 0) return ClientRefusal::ports_taken;
  std::uint32_t ports = 0;
  std::uint64_t bytes = 0;
  for (const Held& held : held_) {
    ports += held.wants.ports;
    bytes += held.bytes;
  }
  limits.ports = static_cast<std::uint32_t>(std::min(kMaxClientPorts, kMaxPorts - ports));
  limits.memory_bytes = 0;
  if (request.ports == 0 || request.ports > limits.ports) return ClientRefusal::port_count;
  limits.memory_bytes = (most_bytes_ - bytes) / request.ports / kPage * kPage;
  const bool sane = request.memory_bytes >= kLeastMemory && request.memory_bytes < kMost &&
                    request.staging_bytes < kMost && request.memory_bytes % kPage == 0 &&
                    request.staging_bytes % kPage == 0;
  if (!sane || request.memory_bytes + request.staging_bytes > limits.memory_bytes) return ClientRefusal::port_memory;
  if (request.rights > (kPartnerReads | kPartnerWrites)) return ClientRefusal::malformed;

  Held& held = held_.at(request.slot);
  held.life = request.life;
  held.name = request.name;
  held.wants = {.ports = static_cast<std::uint8_t>(request.ports),
                .rights = static_cast<std::uint8_t>(request.rights),
                .memory_bytes = request.memory_bytes};
  held.bytes = request.ports * (request.memory_bytes + request.staging_bytes);
  PortCommand command;
  command.kind = PortCommand::Kind::create;
  command.port.slot = request.slot;
  command.life = request.life;
  command.wants = held.wants;
  command.staging_bytes = request.staging_bytes;
  give(command);
  return ClientRefusal::none;
}

void PortBroker::ended(std::uint8_t slot) {
  Held& held = held_.at(slot);
  if (held.life == 0) return;
  PortCommand command;
  command.kind = PortCommand::Kind::destroy;
  command.port.slot = slot;
  command.life = held.life;
  give(command);
  session_.client_ended(slot);
  ready_.at(slot) = {};
  held = {};
}

// ---- the early channel -------------------------------------------------------------------------------------------

void PortBroker::take_rails(std::span<Rail> rails) {
  for (Rail& rail : rails) {
    const bool up = rail.handshake().state() == HandshakeState::connected && rail.handshake().session().has_value();
    session_.rail(rail.id(), up ? rail.self().sessions : 0);
    const auto page = rail.take_sealed_page();
    if (!page) continue;
    StatusPageLayout layout;
    std::memcpy(&layout, page->data(), sizeof layout);
    if (!session_.partner(layout)) {
      journal_->say(4, partner_.text() + " tells of its ports what no version defines, over rail " +
                           rail.name().text() +
                           "; its ports stay as they were. Install the same version on both nodes");
    }
  }
}

// ---- the ports ---------------------------------------------------------------------------------------------------

// The thread takes commands in their order; one that does not fit waits here, and nothing overtakes it.
void PortBroker::give(const PortCommand& command) {
  flush();
  if (!waiting_.empty() || !carrier_->give(command)) waiting_.push(command);
}

void PortBroker::flush() {
  while (!waiting_.empty() && carrier_->give(waiting_.front())) waiting_.pop();
}

void PortBroker::take_news(Instant now) {
  PortNews news;
  while (carrier_->take(news)) take(now, news);
}

void PortBroker::take(Instant now, const PortNews& news) {
  Held& held = held_.at(news.port.slot);
  if (held.life != news.life) return;  // of a client that is gone
  switch (news.kind) {
    case PortNews::Kind::created: {
      held.made = true;
      PortGrant grant{.ports = news.wants.ports, .kick = news.grant.kick, .wake = news.grant.wake};
      grant.memory = news.grant.memory;
      grant.channel = news.grant.control;
      session_.client_wants(news.port.slot, name_in(held.name), news.life, held.wants);
      return clients_->ports_made(news.port.slot, news.life, grant);
    }
    case PortNews::Kind::not_created:
      journal_->say(4,
                    "client " + std::string(name_in(held.name)) + " gets no ports: " + std::string(name_in(news.text)));
      held = {};
      return clients_->ports_refused(news.port.slot, news.life, ClientRefusal::no_memory);
    case PortNews::Kind::connected:
      return session_.connected(news.port, news.exposure);
    case PortNews::Kind::not_connected:
      return session_.not_connected(now, news.port, news.exposure);
    case PortNews::Kind::not_exposed:
      journal_->say(4, port_text(name_in(held.name), news.port.index) + " cannot be opened to " + partner_.text() +
                           ": " + std::string(name_in(news.text)) + "; it is tried again");
      return session_.not_exposed(now, news.port, news.exposure);
    case PortNews::Kind::broken:
      journal_->say(
          4, "client " + std::string(name_in(held.name)) +
                 " writes to its ports what no hapair library writes; it is turned away, its ports are closed. Use the "
                 "client library of this version");
      return clients_->expel(news.port.slot, news.life);
  }
}

PortCommand PortBroker::command_of(const SessionCommand& command, std::span<const Rail> rails) const {
  const Held& held = held_.at(command.port.slot);
  PortCommand out;
  out.port = command.port;
  out.life = held.life;
  out.rail = command.rail;
  out.exposure = command.exposure;
  out.standing = command.standing;
  const auto token_by = [&](const NodeName& exposer) {
    const auto& session = rails[command.rail.value()].handshake().session();
    HAPAIR_CHECK(session.has_value(), "ports go over rails that are in a session");
    return port_token(*session, exposer, name_in(held.name), command.port.index, command.exposure);
  };
  switch (command.kind) {
    case SessionCommand::Kind::expose:
      out.kind = PortCommand::Kind::expose;
      out.token = token_by(node_);
      break;
    case SessionCommand::Kind::conceal:
      out.kind = PortCommand::Kind::conceal;
      break;
    case SessionCommand::Kind::connect:
      out.kind = PortCommand::Kind::connect;
      out.token = token_by(partner_);
      break;
    case SessionCommand::Kind::drop:
      out.kind = PortCommand::Kind::drop;
      break;
    case SessionCommand::Kind::tell:
      out.kind = PortCommand::Kind::tell;
      break;
  }
  return out;
}

bool PortBroker::turn(Instant now, std::span<const Rail> rails) {
  take_news(now);
  flush();
  if (waiting_.empty()) {  // else the session's state waits with them: it says the same again later
    for (const SessionCommand& command : session_.advance(now)) {
      log(command, rails);
      give(command_of(command, rails));
    }
  }
  log_session();
  return session_.take_changed();
}

// ---- what people see ---------------------------------------------------------------------------------------------

void PortBroker::log(const SessionCommand& command, std::span<const Rail> rails) {
  if (command.kind != SessionCommand::Kind::tell) return;
  bool& ready = ready_.at(command.port.slot).at(command.port.index);
  const bool was_ready = std::exchange(ready, command.standing.state == PortStanding::State::ready);
  const std::string what = port_text(name_in(held_.at(command.port.slot).name), command.port.index);
  switch (command.standing.state) {
    case PortStanding::State::ready:
      return journal_->say(5, what + " is ready: it reaches " + std::to_string(command.standing.partner_memory) +
                                  " bytes of " + partner_.text() + " over rail " +
                                  rails[command.standing.rail.value()].name().text());
    case PortStanding::State::connecting:
      if (!was_ready) return;
      return journal_->say(
          4, what + " has lost its way to " + partner_.text() +
                 "; operations that were outstanding have failed, and it is taken up again over the first rail "
                 "that both nodes have");
    case PortStanding::State::waiting:
      return journal_->say(5, what + " waits for the client of the same name on " + partner_.text());
  }
}

void PortBroker::log_session() {
  if (session_.state() == logged_) return;
  logged_ = session_.state();
  const SessionBlockLayout& partner = session_.partner_block();
  const std::string software(name_in(partner.software));
  if (logged_ == SessionState::established) {
    journal_->say(5, "session with " + partner_.text() + " (hapair " + software + "): protocol " +
                         std::to_string(session_.protocol()));
  } else if (logged_ == SessionState::refused) {
    journal_->say(4, "no session with " + partner_.text() + " (hapair " +
                         (software.empty() ? "of an older version" : software) + "): it speaks protocols " +
                         std::to_string(partner.protocol_min) + " to " + std::to_string(partner.protocol_max) +
                         ", this node " + std::to_string(kSessionProtocolMin) + " to " +
                         std::to_string(kSessionProtocolMax) +
                         "; ports stay closed, heartbeats go on. Install versions with one in common");
  }
}

void PortBroker::show(CcmSelfLayout& self) const {
  self.session = static_cast<std::uint8_t>(session_.state());
  self.protocol = session_.protocol();
  self.partner_software = session_.partner_block().software;
  for (std::size_t i = 0; i < self.rail_count; ++i)
    self.rails.at(i).ports_turned_away = carrier_->turned_away(RailId(i));
  self.port_count = 0;
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    const Held& held = held_.at(slot);
    if (!held.made) continue;
    for (std::uint8_t index = 0; index < held.wants.ports; ++index) {
      PortSelfLayout& out = self.ports.at(self.port_count++);
      const PortStanding& standing = session_.standing({slot, index});
      const PortTraffic traffic = carrier_->traffic({slot, index});
      out = {};
      out.client = held.name;
      out.index = index;
      out.state = static_cast<std::uint8_t>(standing.state);
      out.rail = static_cast<std::uint8_t>(standing.rail.value());
      out.rights = held.wants.rights;
      out.memory_bytes = held.wants.memory_bytes;
      out.operations = traffic.operations;
      out.failed = traffic.failed;
      out.refused = traffic.refused;
      out.bytes = traffic.bytes;
      out.messages = traffic.messages;
    }
  }
}

}  // namespace hapair::ccm
