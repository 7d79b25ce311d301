// One simulated rail between two nodes: what is on its way, and the memory at both ends. It is also the hand that makes
// the faults. Everything that happens is drawn from one seed and ordered by (time, order of being sent), so the same
// calls with the same times give the same run, however often anybody polls.
//
// How an operation travels, as over a reliable queue pair: the request takes a delay and may be lost; where it arrives,
// it takes effect in the order of posting, and an answer takes its own way back. What is not answered is sent again
// every `retry_every` (a write that has landed does not land twice, a read is read anew) until `retry_timeout`. So a
// write may have landed though its sender heard of a failure, and one of a connection that was given up may land late;
// none lands in another life than the one that it was meant for.
//
// | what is found                               | connect        | operation, and then the connection      |
// | own link down                               | link_down      | link_down, lost (link_down), at a poll  |
// | no answer within retry_timeout              | retry_exceeded | retry_exceeded, lost (same)             |
// | the host answers, no CCM there              | not_listening  |                                         |
// | the life of the partner's CCM has ended     |                | disconnected, lost (disconnected)       |
// | no right                                    |                | remote_access, lost (remote_access)     |
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/fabric/fabric.h"
#include "ccm/wire/status_page.h"
#include "tests/sim/sim_random.h"

namespace hapair::sim {

class SimFabric;

enum class Side : std::uint8_t { alpha, beta };
inline Side other(Side side) { return side == Side::alpha ? Side::beta : Side::alpha; }

struct SimOptions {
  std::uint64_t seed = 1;
  Duration least_delay{};  // one way
  Duration most_delay{};
  unsigned loss_per_mille = 0;  // of each way
  Duration retry_every = std::chrono::milliseconds(3);
  Duration retry_timeout = std::chrono::milliseconds(20);
  bool process_must_run = false;  // as in user-space iWARP: a stopped process answers nothing
};

class SimNetwork {
 public:
  explicit SimNetwork(const SimOptions& options);
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // ---- faults; each happens at the time to which the network has come
  void kill(Side side);  // its process dies, its host lives and says so
  void stop(Side side) { node(side).stopped = true; }
  void resume(Side side) { node(side).stopped = false; }
  void power_off(Side side);  // nothing answers there, and nothing says so
  void power_on(Side side) { node(side).powered = true; }
  void set_link(Side side, bool up);                           // the node itself notices
  void cut(Side from, bool cut) { node(from).cut_out = cut; }  // one way, which nobody notices
  void heal();                                                 // links, cuts and power; not processes
  // Of what is sent from now on.
  void set_weather(Duration least_delay, Duration most_delay, unsigned loss_per_mille);

  // Lets happen what happens up to `now`. Every poll of a fabric does it too.
  void advance(Instant now);
  [[nodiscard]] Instant now() const { return now_; }
  // When something happens next; nothing while all is quiet.
  [[nodiscard]] std::optional<Instant> next() const;
  // When that node's fabric may have news next. Of what is only sent again into a cut nothing comes.
  [[nodiscard]] std::optional<Instant> next_for(Side side);
  // What else goes over the same wire: how long it is under way, or that it is lost.
  [[nodiscard]] std::optional<Duration> carry(Side from);

 private:
  friend class SimFabric;
  // The memory of one life of a CCM.
  struct Life {
    alignas(64) std::array<std::byte, ccm::kPageBytes> status{};
    alignas(64) std::array<std::byte, ccm::kPageBytes> mailbox{};
  };
  struct Node {
    std::shared_ptr<Life> life;  // none: no CCM runs
    SimFabric* fabric = nullptr;
    bool stopped = false;
    bool powered = true;
    bool link_up = true;
    bool cut_out = false;
  };
  struct Operation {
    std::uint64_t number = 0;  // within its connection, from 0
    bool read = false;
    ccm::RemotePage page = ccm::RemotePage::status;
    std::size_t offset = 0;
    std::size_t bytes = 0;
    std::vector<std::byte> data{};  // of a write; of a read's answer
  };
  struct Happening {
    enum class Kind : std::uint8_t {
      connect_request,
      connect_answer,
      request,
      answer,
      again,   // the sender sends what is not answered, for the first time or once more
      expiry,  // ... and gives up
      link_down,
      ended,  // the partner's host says that its process died
    };
    Kind kind = Kind::connect_request;
    Side sender = Side::alpha;  // whose connection it is about
    std::uint64_t connection = 0;
    std::shared_ptr<Life> life{};  // of the partner
    ccm::FabricError error = ccm::FabricError::none;
    Operation operation{};
  };
  using Key = std::pair<Instant, std::uint64_t>;

  [[nodiscard]] Node& node(Side side) { return nodes_.at(static_cast<std::size_t>(side)); }
  Key at(Instant when, Happening happening);
  [[nodiscard]] bool open(Side from);  // a message that leaves there now can arrive
  [[nodiscard]] Duration delay();
  [[nodiscard]] bool loses() { return options_.loss_per_mille > 0 && random_.per_mille(options_.loss_per_mille); }
  // Sends it on its way from `from`: it arrives, after all that went that way of this connection before; or never.
  void send(Side from, Happening happening);
  void happen(Happening& one);
  void connect_arrives(Happening& request);
  void request_arrives(Happening& request);
  [[nodiscard]] bool answers(Side side) {
    return node(side).powered && !(options_.process_must_run && node(side).stopped);
  }
  void end_life(Side side, bool told);

  // for SimFabric
  std::shared_ptr<Life> begin_life(Side side, SimFabric& fabric);
  void leave(Side side, const SimFabric& fabric);

  SimOptions options_;
  SimRandom random_;
  Instant now_;
  std::array<Node, 2> nodes_;
  std::uint64_t order_ = 0;
  std::uint64_t last_connection_ = 0;
  std::map<Key, Happening> coming_;
  std::map<std::pair<std::uint64_t, Side>, Instant> last_arrival_;  // of a connection, each way by its origin
  std::map<std::uint64_t, std::uint64_t> expected_;  // by connection: what takes effect next at the far end
};

}  // namespace hapair::sim
