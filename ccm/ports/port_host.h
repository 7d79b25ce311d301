// All ports of this node's clients, over the port fabrics of all rails. What to do with them is decided by the session,
// in the CCM's loop; here it is carried out, in a thread of its own, so that however much a client moves, the early
// channel keeps its pace. This class has no thread and does not wait; port_thread.h gives it one.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/random.h"
#include "ccm/base/time.h"
#include "ccm/fabric/port_fabric.h"
#include "ccm/ports/hosted_port.h"
#include "ccm/session/session.h"

namespace hapair::ccm {

struct PortCommand {
  enum class Kind : std::uint8_t { create, destroy, expose, conceal, connect, drop, tell };
  Kind kind = Kind::tell;
  PortRef port;            // of create and destroy: all ports of that slot
  std::uint64_t life = 0;  // of the client
  PortWants wants;         // of create
  std::uint64_t staging_bytes = 0;
  RailId rail;
  std::uint32_t exposure = 0;
  PortToken token{};
  PortStanding standing;
};

struct PortNews {
  enum class Kind : std::uint8_t {
    created,        // the descriptors are in `grant`
    not_created,    // `text` says why
    connected,      // answers to connect
    not_connected,  // ... or its end
    not_exposed,    // `text` says why
    broken,         // the client wrote what no library of ours writes; its ports are closed
  };
  // What the client gets; the descriptors are the host's, until destroy.
  struct Grant {
    int kick = -1;  // the client writes it after submitting
    int wake = -1;  // it is written after completions
    std::array<int, kMaxClientPorts> memory{};
    std::array<int, kMaxClientPorts> control{};
  };
  Kind kind = Kind::created;
  PortRef port;
  std::uint64_t life = 0;
  std::uint32_t exposure = 0;
  PortWants wants;
  Grant grant;
  std::array<char, 128> text{};
};

class PortHost {
 public:
  // `fabrics` are open, one for each rail; they and `random` outlive this. The clients' kicks are added to `epoll`.
  PortHost(std::span<PortFabric* const> fabrics, Random& random, int epoll);

  void carry_out(Instant now, const PortCommand& command);
  // Polls every fabric, serves every client, wakes those that have something to see.
  void turn(Instant now);
  std::optional<PortNews> next_news();
  [[nodiscard]] bool idle() const;  // no port at all
  // Afterwards no fabric touches a port's memory any more.
  void close_all(Instant now);
  // Consumes a client's kick.
  void kicked(int fd);

  // Of the live port; zeros where there is none.
  [[nodiscard]] PortTraffic traffic(PortRef port) const;

 private:
  struct Client {
    std::uint64_t life = 0;  // 0: free
    Fd kick;
    Fd wake;
    bool told_broken = false;
  };
  static constexpr std::size_t kPlaces = 4 * kMaxPorts;  // ended ports wait here for what is outstanding

  [[nodiscard]] HostedPort* find(const PortCommand& command) const;
  [[nodiscard]] HostedPort* live(PortRef port) const;
  PortId new_id(const HostedPort& port);
  void create(const PortCommand& command);
  std::expected<void, std::string> make_ports(const PortCommand& command, PortNews& news);
  void destroy(Instant now, std::uint8_t slot);
  void expose(const PortCommand& command, HostedPort& port);
  void conceal(Instant now, HostedPort& port);
  void connect(Instant now, const PortCommand& command, HostedPort& port);
  void end_connection(Instant now, HostedPort& port);
  void poll(Instant now, PortFabric& fabric, int rounds);
  void take(Instant now, const PortEvent& event);
  void tell(PortNews::Kind kind, const HostedPort& port, std::uint32_t exposure, const std::string& text = {});
  void close_broken(Instant now, const HostedPort& broken);

  std::vector<PortFabric*> fabrics_;
  Random* random_;
  int epoll_;
  std::array<Client, kMaxClients> clients_;
  std::array<std::unique_ptr<HostedPort>, kPlaces> places_;
  std::uint64_t next_serial_ = 1;
  std::deque<PortNews> news_;
};

}  // namespace hapair::ccm
