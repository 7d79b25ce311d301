// Two sessions over a model of what lies between them: early channels that come and go at each end apart, pages that
// are read and taken in apart on each rail, memory that is opened and closed, connections that stand while the memory
// at their other end is open. Every step is an action that a test, or a schedule, chooses, and every command of a
// session is held against the rules while it is carried out.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "ccm/session/session.h"

namespace hapair::ccm::session_model {

inline constexpr std::size_t kRails = 2;

PortWants wants(std::uint8_t ports, std::uint64_t memory_bytes = 4096);

// Memory of a port that is open to the partner.
struct OpenMemory {
  std::uint32_t exposure = 0;
  RailId rail;
  std::uint64_t round = 0;  // of the early channel, whose key the token is made of
  // Whom it was opened for.
  std::uint64_t partner_incarnation = 0;
  std::uint64_t partner_life = 0;
};

// A node's connection to memory of its partner.
struct Connection {
  // `broken` is over, and nobody has noticed; of `ended` the news are under way to the session.
  enum class State : std::uint8_t { attempt, up, broken, ended } state = State::attempt;
  std::uint64_t id = 0;
  std::uint64_t round = 0;  // likewise
  bool told = false;        // the session has heard that it was up
  std::uint32_t exposure = 0;
  RailId rail;
  std::uint64_t incarnation = 0;  // of the partner that showed the exposure
  // Of `up` and `broken`: whose memory it was.
  PortRef target;
  std::uint64_t life = 0;
  PortWants wants;
};

// What the ports say to the session, in its order; a command of the session may cross it.
struct News {
  bool connected = false;
  PortRef port;
  std::uint64_t life = 0;
  std::uint32_t exposure = 0;
  std::uint64_t connection = 0;
  Instant when;
};

// This node's end of an early channel. Two ends speak to each other while they are in one round.
struct EarlyChannel {
  std::uint64_t session = 0;  // 0: not connected
  std::uint64_t round = 0;
  std::uint64_t partner_incarnation = 0;
};

struct ModelNode {
  explicit ModelNode(std::uint64_t life);

  std::uint64_t incarnation;
  Session session;
  std::array<ClientSlotLayout, kMaxClients> clients{};
  std::array<PortWants, kMaxClients> wishes;
  std::array<std::array<std::optional<OpenMemory>, kMaxClientPorts>, kMaxClients> memory;
  std::array<std::array<std::optional<Connection>, kMaxClientPorts>, kMaxClients> connections;
  std::array<std::array<PortStanding, kMaxClientPorts>, kMaxClients> told;
  std::deque<News> news;
  std::array<EarlyChannel, kRails> early;
  std::array<std::uint64_t, kRails> early_count{};
  std::array<std::optional<StatusPageLayout>, kRails> read;  // the partner's page, and not taken in yet
  std::optional<StatusPageLayout> newest;                    // the one that counts of those that were
  std::vector<SessionCommand> done;                          // commands since a test cleared them
  std::set<std::uint32_t> exposures;                         // drawn so far

  template <class Table>
  static auto& at(Table& table, PortRef port) {
    return table.at(port.slot).at(port.index);
  }
};

class World {
 public:
  World();

  Instant now{std::chrono::seconds(100)};
  std::array<ModelNode, 2> nodes;
  std::array<bool, kRails> cable{true, true};       // nothing at all passes where it is cut
  std::array<bool, kRails> ports_pass{true, true};  // the early channel passes, connections of ports may not
  std::optional<PortRef> unreachable;               // node 1 never gets through to node 0's port of this place
  std::string broken_rule;                          // nothing, or the first one that was broken

  // Clients.
  void join(std::size_t n, std::uint8_t slot, std::string_view name, const PortWants& wish);
  bool end(std::size_t n, std::uint8_t slot, ClientState how);

  // Early channels.
  bool early_up(std::size_t n, std::size_t rail);
  bool early_down(std::size_t n, std::size_t rail);
  void cut(std::size_t rail);  // connections break; each end of the early channel learns it by `early_down`
  void rail_up(std::size_t rail);
  void rail_down(std::size_t rail);

  // Pages.
  bool capture(std::size_t n, std::size_t rail);
  bool deliver(std::size_t n, std::size_t rail);

  // Sessions and ports.
  void advance(std::size_t n);
  bool answer(std::size_t n, PortRef port);         // an attempt succeeds or fails
  bool notice_loss(std::size_t n, PortRef port);    // of a connection that is broken
  bool take_news(std::size_t n);                    // the oldest
  bool refuse_memory(std::size_t n, PortRef port);  // what was to be opened could not be
  void restart(std::size_t n);                      // of the CCM; its clients are gone with it

  // No more faults: rails heal, everything arrives, until nothing changes. False where that takes more rounds.
  bool settle(int rounds = 60);
  // ... without healing anything first.
  bool run(int rounds = 60);

  [[nodiscard]] const PortStanding& standing(std::size_t n, PortRef port) const;
  [[nodiscard]] bool ready(std::size_t n, PortRef port) const;
  // The port of the partner that belongs to this one, and both are wanted.
  [[nodiscard]] std::optional<PortRef> twin(std::size_t n, PortRef port) const;
  // Nothing, or the port that is wanted by both sides and not ready, or ready and not wanted.
  [[nodiscard]] std::string unfinished() const;
  [[nodiscard]] StatusPageLayout page_of(std::size_t n) const;
  void forget_commands();

  static void for_each_port(const std::function<void(PortRef)>& each);

 private:
  void broken(std::size_t n, const std::string& rule, PortRef port);
  void apply(std::size_t n, const SessionCommand& command);
  void check_standing(std::size_t n, PortRef port);
  void check_ends(std::size_t n, PortRef port);
  [[nodiscard]] std::uint64_t shown_life(std::size_t n, PortRef port) const;
  void close(std::size_t n, PortRef port);
  void close_slot(std::size_t n, std::uint8_t slot);
  [[nodiscard]] bool same_round(std::size_t rail) const;
  [[nodiscard]] bool exists(std::size_t n, PortRef port) const;

  std::uint64_t next_life_ = 100;
  std::uint64_t next_incarnation_ = 3;
  std::uint64_t next_round_ = 1;
  std::uint64_t next_connection_ = 1;
  // Who has ever been connected to what: the reaching node's incarnation, the reached one's, the exposure.
  std::set<std::tuple<std::uint64_t, std::uint64_t, std::uint32_t>> reached_;
};

std::string text_of(const SessionCommand& command);

}  // namespace hapair::ccm::session_model
