// The library through which a local process uses the CCM: it registers, beats, sees what the CCM observes of the
// partner, and (the agent) publishes its pools. Without exceptions and without threads; the caller's loop polls two
// descriptors. A client that dies is seen by the partner as gone; the early channel stays up.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ccm/base/fd.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/client/ports.h"
#include "ccm/wire/observation.h"

namespace hapair::ccm {

// How a client's own work goes: of storage software, its I/O. Work that is outstanding while none is completed for
// `stall_limit` (rounded to milliseconds, up to 49 days; zero: this client tells no progress) is a storage that stands
// still, whatever else beats; nothing outstanding is idle and well. Only what does not wait for the partner belongs
// here: it is the partner who judges.
struct Progress {
  std::uint64_t completed = 0;    // since the registration; any change of it is progress
  std::uint32_t outstanding = 0;  // begun and not completed
  Duration stall_limit{};
};

// The hardware watchdog of this node, as its CCM holds it. `armed`: where it is not fed, it resets this node at the
// latest `bound` after the time of a client (fed_until) has passed. Not armed: none is configured, or something is
// wrong with it (self().watchdog says what), and nothing may rest on it.
struct WatchdogStanding {
  bool armed = false;
  Duration timeout{};  // the device's own
  Duration bound{};
};

class Client {
 public:
  // Registers at the CCM's socket under `name` (at most 23 bytes). `pace` is how often this client will beat, and is
  // woken at the least while all goes on as before; zero for a client that only looks, and is woken each time. Blocks
  // at most `patience` for the CCM's answer.
  static std::expected<Client, ClientError> connect(const std::string& socket_path, std::string_view name,
                                                    Duration pace, Duration patience);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();  // without leave(): the partner reads that this client is gone

  // Readable at once where new observations say more than that the partner beats on, else at this client's pace; drain
  // with `next()`, after `acknowledge_events()`.
  [[nodiscard]] int event_fd() const;
  void acknowledge_events();
  // Readable or hung up when the CCM closed the socket: it stopped, or it restarted. Then connect() again.
  [[nodiscard]] int socket_fd() const;
  [[nodiscard]] bool alive();

  // The next observation not seen yet, oldest first; nothing when all were seen. `missed()` counts those that were
  // overwritten before this client looked: then it knows less than happened, and must not hold that against the
  // partner.
  bool next(ObservationLayout& into);
  [[nodiscard]] std::uint64_t missed() const;

  // What the CCM says of itself; nothing while it is in the middle of writing it.
  [[nodiscard]] std::optional<CcmSelfLayout> self() const;
  [[nodiscard]] Incarnation incarnation() const;  // of the CCM registered with
  [[nodiscard]] std::uint64_t life() const;       // of this client, as the partner sees it

  void beat();
  // Tells the partner how this client's work goes, at the next beat of the CCM; call it as often as you like.
  void progress(const Progress& now);
  void publish(const AgentBlockLayout& agent);

  // Has this node reset should this client not have said more by `until`: the watchdog is fed only before it. For who
  // serves something that another node takes over when the time is up, and cannot be sure to stop it himself by then.
  // It stands until the next call, also when this client dies, and also for the CCM's next life; whoever connects anew
  // under this name takes over with its own first call. Nobody is safe before fed_until_taken() says so.
  void fed_until(Instant until);
  // This client has stopped all that it serves: the watchdog is fed whatever becomes of it.
  void fed_freely();
  // What the CCM has taken of the two, at its next beat: `until`, or nothing where it is fed freely. Before the first
  // call of this life: what stands of an earlier one of this name.
  [[nodiscard]] std::optional<Instant> fed_until_taken() const;
  // Nothing while the CCM is in the middle of writing it.
  [[nodiscard]] std::optional<WatchdogStanding> watchdog() const;

  // Of the agent alone. Has the partner poisoned (ccm/wire/poison.h): every pool that runs there is to stop. The number
  // under which self().poison tells how far that is. One at a time: the next call is another order.
  // `resets`: its node is to be reset at once, whatever runs there.
  std::uint64_t ask_for_poison(bool resets);
  // The order is withdrawn, and its answer not waited for; a reset that is under way there goes on.
  void withdraw_poison();
  // Of the partner's order against this node, by its number in self().poison: everything is stopped, and the record on
  // disk says so; or that cannot be done.
  void poison_obeyed(std::uint64_t number);
  void poison_not_obeyed(std::uint64_t number);

  // Asks the CCM to publish another boot phase; blocks at most `patience`.
  std::expected<void, ClientError> set_phase(BootPhase phase, Duration patience);
  // This client's ports, once in its life; blocks at most `patience`. A refusal says what could be had.
  std::expected<Ports, ClientError> request_ports(const PortsRequest& request, Duration patience);
  // Says goodbye: the partner reads "left", not "gone".
  void leave();

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hapair::ccm
