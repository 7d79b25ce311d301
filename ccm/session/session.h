// The session of a pair (DESIGN.md, section 3): over the connected early channel the two CCMs tell each other which
// protocol they speak and what their clients want, make the ports that both sides' clients ask for, and tell each
// client when its port is ready. Pure: state comes in, commands go out; there is no clock, descriptor, thread or log.
//
// Both nodes show their whole state (`block()`), and each does its own half of what both states together demand:
//   a port is wanted by both    its memory is exposed over one rail that both have        `expose`
//   the partner exposes its own this node connects to it                                  `connect`
//   both connections are up     the client hears that its port is ready                   `tell`
// A rail that fails, a client or a CCM that ends, takes back just what rested on it. A port that loses its rail is
// closed here (`conceal`: what was still on its way over the old rail can reach the memory no more) before it is
// exposed over another one, so an old write never lands behind a newer one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ccm/base/fixed_list.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/port_channel.h"
#include "ccm/wire/session_block.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

// A port of this node: its client's slot, and its number among that client's.
struct PortRef {
  std::uint8_t slot = 0;
  std::uint8_t index = 0;
  bool operator==(const PortRef&) const = default;
};

struct PortWants {
  std::uint8_t ports = 0;
  std::uint8_t rights = 0;  // kPartnerReads, kPartnerWrites
  std::uint64_t memory_bytes = 0;
  bool operator==(const PortWants&) const = default;
};

// How a client's port stands, as its client hears it.
struct PortStanding {
  using State = PortStandingState;
  State state = State::waiting;
  RailId rail;                       // of `ready`: this node's way to the partner's memory
  std::uint32_t exposure = 0;        // of `ready`: the partner's, so that each time is another one
  std::uint64_t partner_life = 0;    // of the partner's client; another one knows nothing of what was before
  std::uint64_t partner_memory = 0;  // bytes
  std::uint8_t partner_rights = 0;
  bool operator==(const PortStanding&) const = default;
};

struct SessionCommand {
  enum class Kind : std::uint8_t {
    expose,   // open the port's memory over `rail`; the partner will show the token of `exposure`
    conceal,  // close it: afterwards nothing of that exposure reaches the memory
    connect,  // reach the partner's memory over `rail` with the token of `exposure`
    drop,     // give that connection up
    tell,     // the client hears `standing`
  };
  Kind kind = Kind::tell;
  PortRef port;
  RailId rail;
  std::uint32_t exposure = 0;
  PortStanding standing;
};

class Session {
 public:
  static constexpr std::size_t kMaxCommands = 5 * kMaxPorts;
  using Commands = FixedList<SessionCommand, kMaxCommands>;

  // Exposures are numbered from a place that `own` gives: what is under way for an earlier life means nothing in this
  // one.
  Session(std::string_view software, Incarnation own);

  // Clients of this node. `life` is drawn at registration; a wish of 0 ports takes an earlier one back. The caller has
  // checked the limits, kMaxClientPorts and kMaxPorts. Both calls forget what the slot's ports were: whoever holds them
  // has closed their memory and their connections before, and a client begins with all of its ports `waiting`.
  void client_wants(std::uint8_t slot, std::string_view name, std::uint64_t life, const PortWants& wants);
  void client_ended(std::uint8_t slot);

  // The early channel over `rail` is connected since its `session`th time, or is not (0).
  void rail(RailId rail, std::uint64_t session);
  // What a page under the session's MAC says. False: it is not sound, and nothing was changed.
  bool partner(const StatusPageLayout& page);

  // Answers of the ports, at most one end to each connect. What is late, of an exposure that is no longer reached for,
  // changes nothing: one that was given up is not reached for again within a second.
  void connected(PortRef port, std::uint32_t exposure);
  void not_connected(Instant now, PortRef port, std::uint32_t exposure);  // also where an established one was lost
  void not_exposed(Instant now, PortRef port, std::uint32_t exposure);    // the fabric could not

  // What is to be done now. The order counts. Cheap where nothing has changed and no time has come.
  Commands advance(Instant now);
  [[nodiscard]] std::optional<Instant> next_wake() const { return wake_; }

  // What the partner must see; `changed()` tells once that it is another one than before.
  [[nodiscard]] const SessionBlockLayout& block() const { return block_; }
  bool take_changed();

  [[nodiscard]] SessionState state() const { return state_; }
  [[nodiscard]] std::uint16_t protocol() const { return protocol_; }
  [[nodiscard]] const SessionBlockLayout& partner_block() const { return partner_; }
  // The name of that slot's client; it goes into the tokens of its ports.
  [[nodiscard]] std::string_view client_name(std::uint8_t slot) const { return name_in(clients_.at(slot).name); }
  [[nodiscard]] const PortStanding& standing(PortRef port) const { return port_at(port).told; }

 private:
  struct Client {
    std::array<char, 24> name{};
    std::uint64_t life = 0;
    PortWants wants;
  };
  struct Exposure {
    std::uint32_t number = 0;
    RailId rail;
    std::uint64_t rail_session = 0;
    std::uint64_t partner_incarnation = 0;
    std::uint64_t partner_life = 0;
  };
  // This node's connection to an exposure of the partner.
  struct Reach {
    std::uint32_t exposure = 0;
    RailId rail;
    std::uint64_t rail_session = 0;
    std::uint64_t partner_incarnation = 0;
    std::uint64_t partner_life = 0;
    bool up = false;
    std::optional<Instant> stands_since;
  };
  // What went wrong with a port's connections, lately and in a row.
  struct Failures {
    std::uint32_t count = 0;  // over `rail`
    RailId rail;
    std::uint32_t exposure = 0;  // the last one that was not reached, or was given up
    Instant again;               // when it may be tried once more
    std::array<Instant, kMaxRails> avoid_until;
  };
  struct Port {
    std::optional<Exposure> exposure;
    std::optional<Reach> reach;
    std::array<Instant, kMaxRails> cannot_open_until;  // over that rail, the memory
    Failures failures;
    PortStanding told;
  };
  // The partner's side of a port.
  struct Counterpart {
    const SessionPortLayout* port = nullptr;  // nothing: its client is not there, or does not want that many
    std::uint64_t life = 0;
  };

  [[nodiscard]] const Port& port_at(PortRef port) const { return ports_.at(port.slot).at(port.index); }
  Port& port_at(PortRef port) { return ports_.at(port.slot).at(port.index); }
  [[nodiscard]] Counterpart counterpart(PortRef port) const;
  [[nodiscard]] std::uint8_t connected_rails() const;
  // The rail to open the port's memory over; nothing where none is.
  std::optional<RailId> rail_for(Instant now, const Port& port, const Counterpart& other);
  // The rails whose time has not come; wakes when it has.
  std::uint8_t not_yet(Instant now, const std::array<Instant, kMaxRails>& until);
  static void forgive(Instant now, Port& port);
  void wake_at(Instant now, Instant when);
  void advance_exposure(Instant now, PortRef ref, const Counterpart& other, Commands& out);
  void advance_reach(Instant now, PortRef ref, const Counterpart& other, Commands& out);
  void advance_standing(PortRef ref, const Counterpart& other, Commands& out);
  void write_block(Instant now);

  std::array<Client, kMaxClients> clients_;
  std::array<std::array<Port, kMaxClientPorts>, kMaxClients> ports_;
  std::array<std::uint64_t, kMaxRails> rail_sessions_{};  // 0: not connected
  SessionState state_ = SessionState::none;
  std::uint16_t protocol_ = 0;
  SessionBlockLayout partner_{};
  std::array<ClientSlotLayout, kMaxClients> partner_clients_{};
  std::uint64_t partner_incarnation_ = 0;
  std::uint32_t last_exposure_ = 0;
  SessionBlockLayout block_{};
  bool changed_ = true;
  bool dirty_ = true;  // something came in since the last advance()
  std::optional<Instant> wake_;
};

}  // namespace hapair::ccm
