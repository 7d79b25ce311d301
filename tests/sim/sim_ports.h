// The ports of two nodes, simulated: what the port threads, the port fabrics and the clients of both do with what the
// CCMs' sessions command. Connections and writes go over the simulated rails, with their delays, losses and cuts; each
// command is carried out a little later than it is given, as by a thread of its own.
//
// An exposure is open from `expose` to `conceal`, its client's end, or the end of its CCM. A connection is let in where
// the exposure that it names is open over that rail and its token is that exposure's. A write lands as long as the
// exposure is open, however long it was under way; where it is not, or where no answer comes, the connection is lost.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ccm/ports/port_carrier.h"
#include "tests/sim/sim_network.h"

namespace hapair::sim {

struct SimExposure {
  Side side = Side::alpha;
  Incarnation incarnation;  // of the CCM
  ccm::PortRef port;
  std::uint64_t client_life = 0;
  RailId rail;
  std::uint32_t number = 0;
  ccm::PortToken token{};
  bool reached = false;  // the partner's connection was let in
  std::optional<Instant> closed_at;
};

// What a checker is told.
struct SimPortDeed {
  enum class Kind : std::uint8_t {
    exposed,  // `exposure` was opened
    told,     // the session tells a client `standing`
    landed,   // a write of the partner's, in the memory of `exposure`
  };
  Kind kind = Kind::told;
  Side side = Side::alpha;  // whose memory or client it is
  ccm::PortRef port;
  const SimExposure* exposure = nullptr;  // of told: the open one of that port, if any
  // Of told: what this node's connection is up to, if it is; of exposed: another one that is still open.
  const SimExposure* reached = nullptr;
  ccm::PortStanding standing;
};

class SimPortEnd;

class SimPorts {
 public:
  // One network a rail; they outlive this.
  SimPorts(std::uint64_t seed, std::vector<SimNetwork*> rails) : random_(seed), rails_(std::move(rails)) {}
  void on_deed(std::function<void(const SimPortDeed&)> told) { told_ = std::move(told); }

  // Its processes do nothing until it goes on; its memory is reached all the same.
  void stop(Side side) { stopped(side) = true; }
  void resume(Side side);

  void advance(Instant now);
  [[nodiscard]] std::optional<Instant> next() const;
  // Each client that was told that its port is ready writes; other connections show whether they still stand.
  void pulse(Side side);
  [[nodiscard]] Instant now() const { return now_; }

 private:
  friend class SimPortEnd;
  struct Happening {
    std::optional<Side> by;  // whose process it takes
    std::function<void()> run;
  };

  [[nodiscard]] SimPortEnd*& end(Side side) { return ends_.at(static_cast<std::size_t>(side)); }
  [[nodiscard]] bool& stopped(Side side) { return stopped_.at(static_cast<std::size_t>(side)); }
  void after(Duration time, std::optional<Side> by, std::function<void()> run);
  // For that life of that node's CCM, if it still is when it comes.
  void for_end(SimPortEnd& end, Duration time, std::optional<Side> by, std::function<void(SimPortEnd&)> run);
  [[nodiscard]] SimNetwork& rail(RailId id) { return *rails_.at(id.value()); }
  [[nodiscard]] Duration carry_time();
  void connect(SimPortEnd& from, ccm::PortRef port, RailId over, std::uint32_t exposure, const ccm::PortToken& token,
               std::uint64_t reach);
  void write(SimPortEnd& from, ccm::PortRef port, std::uint64_t reach, const std::shared_ptr<SimExposure>& to,
             Instant give_up);

  SimRandom random_;
  std::vector<SimNetwork*> rails_;
  std::function<void(const SimPortDeed&)> told_;
  Instant now_;
  std::multimap<Instant, Happening> coming_;  // of one time in the order in which it was sent
  std::array<std::vector<Happening>, 2> held_;
  std::array<SimPortEnd*, 2> ends_{};
  std::array<bool, 2> stopped_{};
  std::uint64_t last_life_ = 0;
  std::uint64_t last_reach_ = 0;
};

// One node's ports in one life of its CCM.
class SimPortEnd final : public ccm::PortCarrier {
 public:
  SimPortEnd(SimPorts& ports, Side side, Incarnation incarnation);
  ~SimPortEnd();
  SimPortEnd(const SimPortEnd&) = delete;
  SimPortEnd& operator=(const SimPortEnd&) = delete;

  bool give(const ccm::PortCommand& command) override;
  bool take(ccm::PortNews& into) override;
  [[nodiscard]] ccm::PortTraffic traffic(ccm::PortRef /*port*/) const override { return {}; }
  [[nodiscard]] std::uint64_t turned_away(RailId /*rail*/) const override { return 0; }

  [[nodiscard]] bool has_news() const { return !news_.empty(); }
  // All of the client's ports are ready, as it was told.
  [[nodiscard]] bool all_ready(std::uint8_t slot) const;
  [[nodiscard]] const ccm::PortStanding& told(ccm::PortRef port) const {
    return ports_.at(port.slot).at(port.index).told;
  }
  // When the session commanded something last, or something became of a command.
  [[nodiscard]] Instant stirred() const { return stirred_; }

 private:
  friend class SimPorts;
  struct Reach {
    std::uint64_t serial = 0;
    std::uint32_t exposure = 0;
    RailId rail;
    std::shared_ptr<SimExposure> to;  // none: not connected yet
  };
  struct Port {
    std::uint64_t client_life = 0;  // 0: there is none
    std::vector<std::shared_ptr<SimExposure>> open;
    std::optional<Reach> reach;
    ccm::PortStanding told;
  };

  Port& port_at(ccm::PortRef port) { return ports_.at(port.slot).at(port.index); }
  void carry_out(const ccm::PortCommand& command);
  void close(Port& port, std::optional<std::uint32_t> exposure);
  void begin(const ccm::PortCommand& command, Port& port);
  void tell(ccm::PortNews::Kind kind, ccm::PortRef port, std::uint32_t exposure);
  void lose(ccm::PortRef port, std::uint64_t reach);
  [[nodiscard]] std::shared_ptr<SimExposure> find(RailId rail, std::uint32_t exposure, const ccm::PortToken& token);

  SimPorts* all_;
  Side side_;
  Incarnation incarnation_;
  std::uint64_t life_;
  std::array<std::array<Port, ccm::kMaxClientPorts>, ccm::kMaxClients> ports_;
  std::deque<ccm::PortNews> news_;
  Instant stirred_;
  Instant carried_by_;  // the last command
};

}  // namespace hapair::sim
