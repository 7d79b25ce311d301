// Ports, where the world has rails. A client is told that its port is ready only where both connections stand: its own
// node's up to an open exposure of the partner's client that is named, and the partner's up to its own. One exposure of
// a memory is open at a time, and a write that was sent over an earlier one never lands behind it. And where both CCMs
// run and a rail has nothing wrong, every port that both clients want is ready in time.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "tests/scenario/world_rails.h"

namespace hapair::world {
namespace {

// From the partner's closing until this node has heard of it, or lost the connection.
constexpr Duration kHeardOf = milliseconds(150);
// A session gives a rail up for two seconds, and waits one for what was given up.
constexpr Duration kReadyWithin = seconds(10);

class Ports final : public Checker {
 public:
  void on_port(World& world, const sim::SimPortDeed& deed) override {
    switch (deed.kind) {
      case sim::SimPortDeed::Kind::exposed:
        return exposed(world, deed);
      case sim::SimPortDeed::Kind::told:
        if (deed.standing.state == ccm::PortStandingState::ready) ready(world, deed);
        return;
      case sim::SimPortDeed::Kind::landed:
        if (newest(deed) != deed.exposure->number) {
          world.violation(fmt::format("{}: a write over exposure {} lands behind exposure {}", port_text(world, deed),
                                      deed.exposure->number, newest(deed)));
        }
        return;
    }
  }

  void after_event(World& world) override {
    const bool can = world.rail_works() && can_run(world, 0) && can_run(world, 1);
    if (!can || changes_ != world.port_changes()) {
      changes_ = world.port_changes();
      since_.reset();
    }
    if (!can || (world.ports_ready(0) && world.ports_ready(1))) {
      since_.reset();
      return;
    }
    if (!since_) since_ = world.now();
    if (world.now() - *since_ < kReadyWithin) return;
    since_ = world.now();
    world.violation(
        fmt::format("for {:.0f} s both CCMs and a rail are up and both clients there, and not every port "
                    "is ready\n{}",
                    ms_of(kReadyWithin) / 1000, world.describe()));
  }

 private:
  using Memory = std::tuple<sim::Side, std::uint8_t, std::uint8_t, std::uint64_t>;
  static Memory memory_of(const sim::SimPortDeed& deed) {
    return {deed.side, deed.port.slot, deed.port.index, deed.exposure->client_life};
  }
  std::uint32_t newest(const sim::SimPortDeed& deed) { return newest_[memory_of(deed)]; }
  static std::string port_text(const World& world, const sim::SimPortDeed& deed) {
    return fmt::format("port {} of {}", deed.port.index, world.name(node_of(deed.side)));
  }
  static bool can_run(const World& world, NodeIndex node) {
    return world.wants_ports(node) && !world.paused(node) && !world.wrong_key(node);
  }

  void exposed(World& world, const sim::SimPortDeed& deed) {
    if (deed.reached != nullptr) {
      world.violation(fmt::format("{} is exposed as {} while it still is as {}", port_text(world, deed),
                                  deed.exposure->number, deed.reached->number));
    }
    newest_[memory_of(deed)] = deed.exposure->number;
  }

  static void ready(World& world, const sim::SimPortDeed& deed) {
    const auto wrong = [&](std::string_view why) {
      world.violation(fmt::format("{} is told to be ready over exposure {}, and {}", port_text(world, deed),
                                  deed.standing.exposure, why));
    };
    if (deed.reached == nullptr || deed.reached->number != deed.standing.exposure) {
      return wrong("this node has no connection to that");
    }
    const sim::SimExposure& there = *deed.reached;
    if (there.client_life != deed.standing.partner_life) return wrong("that was opened for another client");
    if (there.rail != deed.standing.rail) return wrong("that is open over another rail");
    // Of the CCM that runs there now, unless it has ended so lately that nobody here can know.
    if (there.closed_at && world.wire_now() - *there.closed_at > kHeardOf) return wrong("that was closed before");
    if (deed.exposure == nullptr || !deed.exposure->reached) return wrong("the partner has not reached its memory");
  }

  std::map<Memory, std::uint32_t> newest_;
  std::uint64_t changes_ = 0;
  std::optional<Instant> since_;
};

}  // namespace

std::unique_ptr<Checker> ports_checker() { return std::make_unique<Ports>(); }

}  // namespace hapair::world
