// The partner's ports of the verbs contract test: runs in the other machine and does what remote_ports.h orders. It
// polls only when it is told to: a partner that is not polled stands.
//
// usage: verbs_port_partner OWN_ADDRESS PARTNER_ADDRESS CONTROL_ADDRESS
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/fabric/verbs/verbs_port_fabric.h"
#include "tests/vm/verbs/link.h"
#include "tests/vm/verbs/remote_ports.h"

namespace hapair::ccm {
namespace {

class Partner {
 public:
  Partner(VerbsSettings settings, int link) : settings_(std::move(settings)), link_(link) {}

  // False where the link has gone.
  bool carry_out(const PortOrder& what) {
    std::vector<std::byte> payload;
    if (what.command == PortCommand::add || what.command == PortCommand::post_write) {
      payload.resize(what.bytes);
      if (!receive_all(link_, payload.data(), payload.size())) return false;
    }
    if (what.command == PortCommand::poll) return poll(what.bytes);
    return send_all(link_, did(what, payload) ? "y" : "n", 1);
  }

 private:
  struct Memory {
    std::vector<std::byte> bytes;
    std::vector<std::byte> told;  // what the other machine has
  };

  bool did(const PortOrder& what, std::vector<std::byte>& payload) {
    const PortId port(what.port);
    const OperationId operation(what.operation);
    const Instant now = clock_.now();
    switch (what.command) {
      case PortCommand::restart:
        fabric_.reset();
        memory_.clear();
        kept_.clear();
        receives_.clear();
        fabric_.emplace(settings_);
        return fabric_->open() && fabric_->trouble().empty();
      case PortCommand::add: {
        auto memory = std::make_unique<Memory>(Memory{payload, payload});
        const bool added = fabric_->add(port, what.token, {memory->bytes, what.reads, what.writes}).has_value();
        memory_[what.port] = std::move(memory);
        return added;
      }
      case PortCommand::remove:
        fabric_->remove(now, port);
        memory_.erase(what.port);
        return true;
      case PortCommand::connect:
        fabric_->connect(now, port, what.token);
        return true;
      case PortCommand::drop:
        fabric_->drop(now, port);
        return true;
      case PortCommand::post_write:
        kept_.push_back(std::move(payload));
        return fabric_->post_write(now, port, operation, what.offset, kept_.back());
      case PortCommand::post_receive: {
        auto& buffer = receives_[{what.port, what.operation}];
        buffer.assign(what.bytes, std::byte{0});
        return fabric_->post_receive(port, operation, buffer);
      }
      case PortCommand::link_down:
        return set_link(false);
      case PortCommand::link_up:
        return set_link(true);
      case PortCommand::poll:
        return false;
    }
    return false;
  }

  bool poll(std::size_t most) {
    std::array<PortEvent, 16> events;
    const std::size_t count = fabric_->poll(clock_.now(), std::span(events).first(std::min(most, events.size())));
    std::vector<ChangedHead> changes;
    for (const auto& [port, memory] : memory_) {
      for (std::size_t at = 0; at < memory->bytes.size(); at += kMirroredBytes) {
        const std::size_t bytes = std::min(kMirroredBytes, memory->bytes.size() - at);
        if (std::memcmp(&memory->bytes[at], &memory->told[at], bytes) == 0) continue;
        std::memcpy(&memory->told[at], &memory->bytes[at], bytes);
        changes.push_back({port, at, bytes});
      }
    }
    const PolledHead head{count, changes.size(), fabric_->counters()};
    bool told = send_all(link_, &head, sizeof head);
    for (const PortEvent& event : std::span(events).first(count)) {
      told = told && send_all(link_, &event, sizeof event);
      if (event.kind != PortEvent::Kind::received) continue;
      told = told && send_all(link_, receives_[{event.port.value(), event.operation.value()}].data(), event.bytes);
    }
    for (const ChangedHead& change : changes) {
      told = told && send_all(link_, &change, sizeof change) &&
             send_all(link_, &memory_[change.port]->told[change.offset], change.bytes);
    }
    return told;
  }

  VerbsSettings settings_;
  int link_;
  SystemClock clock_;
  std::map<std::uint64_t, std::unique_ptr<Memory>> memory_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::byte>> receives_;
  std::vector<std::vector<std::byte>> kept_;  // what was posted, until the next start
  std::optional<VerbsPortFabric> fabric_;
};

int run(const char* own, const char* partner, const char* control) {
  const auto end = Endpoint::make(control, kPortPartnerProgramPort);
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  (void)::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!end || ::bind(listener.get(), end->address(), end->length()) != 0 || ::listen(listener.get(), 1) != 0) {
    std::perror("verbs_port_partner");
    return 1;
  }
  std::puts("listening");
  std::fflush(stdout);
  while (true) {
    const Fd link(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Partner served({.address = own,
                    .partner_address = partner,
                    .service_port = 7481,
                    .retry_timeout = std::chrono::milliseconds(1000),
                    .ack_timeout_exponent = 14,
                    .retry_count = 6},
                   link.get());
    PortOrder order;
    while (receive_all(link.get(), &order, sizeof order)) {
      if (!served.carry_out(order)) break;
    }
  }
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: verbs_port_partner OWN_ADDRESS PARTNER_ADDRESS CONTROL_ADDRESS\n", stderr);
    return 2;
  }
  return hapair::ccm::run(argv[1], argv[2], argv[3]);
}
