// One port of one client as the CCM serves it: it carries the client's submissions to the fabric and what comes of them
// back, over whichever rail the session says. It owns the memory; nothing of it is freed while a fabric may use it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/port_fabric.h"
#include "ccm/ports/message_grants.h"
#include "ccm/ports/port_memory.h"
#include "ccm/session/session.h"
#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

struct PortTraffic {
  std::uint64_t operations = 0;  // done
  std::uint64_t failed = 0;
  std::uint64_t refused = 0;  // outside, no right, not ready
  std::uint64_t bytes = 0;    // of the operations that were done
  std::uint64_t messages = 0;
};

class HostedPort {
 public:
  // The way in of an exposure, or the way out of a connection: a port of one rail's fabric.
  struct Way {
    PortFabric* fabric = nullptr;
    PortId id;
    std::uint32_t exposure = 0;
    bool up = false;
  };

  HostedPort(PortRef ref, std::uint64_t life, std::uint8_t rights, PortMemory memory);

  [[nodiscard]] PortRef ref() const { return ref_; }
  [[nodiscard]] std::uint64_t life() const { return life_; }
  [[nodiscard]] const PortMemory& memory() const { return memory_; }
  [[nodiscard]] const PortTraffic& traffic() const { return traffic_; }

  // Exposure. The fabric's sentence where it refuses.
  std::expected<void, std::string> expose(PortFabric& fabric, PortId id, std::uint32_t exposure,
                                          const PortToken& token);
  [[nodiscard]] const std::optional<Way>& open() const { return open_; }
  void concealed();  // the fabric has let it go, and told all that had arrived

  // Connection. It begins once nothing of an earlier one is outstanding.
  void connect(PortFabric& fabric, PortId id, std::uint32_t exposure, const PortToken& token);
  void drop(Instant now);
  [[nodiscard]] const std::optional<Way>& reach() const { return reach_; }
  [[nodiscard]] bool outstanding() { return !outstanding_.empty(); }

  void tell(const PortStanding& standing);
  // The client is gone: its rings are not looked at any more.
  void end() { ended_ = true; }
  [[nodiscard]] bool ended() const { return ended_; }

  // An event of a fabric with one of this port's numbers.
  enum class News : std::uint8_t { none, connected, not_connected };
  News take(Instant now, const PortEvent& event);
  [[nodiscard]] bool knows(PortId id) const;
  // What the client has submitted, and what is due by itself.
  void work(Instant now);
  // True once after completions were written or the standing changed.
  bool take_wake();
  // The client's rings hold what no honest library writes; it is not served any more.
  [[nodiscard]] bool broken() const { return broken_; }
  void turn_away() { broken_ = true; }

 private:
  struct Outstanding {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;
    bool of_client = true;
  };
  struct Wish {
    Way way;
    PortToken token{};
  };
  enum class Slot : std::uint8_t { free, posted, client };

  [[nodiscard]] bool ready(const PortSubmission& submission) const;
  [[nodiscard]] std::uint32_t completions_waiting() const;
  [[nodiscard]] bool room_for_completion() const;
  void complete(std::uint64_t id, PortResult result, FabricError error = FabricError::none);
  void push(const PortCompletion& completion);
  void push_standing();
  void push_messages();
  // False: it has to wait, with all behind it.
  bool carry_out(Instant now, const PortSubmission& submission);
  bool refuse(const PortSubmission& submission, PortResult result);
  bool send(Instant now, const PortSubmission& submission);
  bool reach_memory(Instant now, const PortSubmission& submission);
  void take_releases();
  bool posted(const PortSubmission& submission);
  void take_submissions(Instant now);
  void post_free_slots();
  void received(const PortEvent& event);
  void grant(Instant now);
  void begin_wish(Instant now);

  PortRef ref_;
  std::uint64_t life_;
  std::uint8_t rights_;
  PortMemory memory_;
  std::optional<Way> open_;
  std::optional<Way> reach_;
  std::optional<PortId> dropped_;  // whose operations may still complete
  std::optional<Wish> wish_;
  PortStanding standing_;
  std::uint32_t standing_serial_ = 0;
  bool standing_waits_ = false;  // its client has not read enough: the newest is told when it has
  std::uint64_t partner_memory_ = 0;
  FixedRing<Outstanding, PortFabric::kQueueDepth> outstanding_;
  std::array<Slot, kMessageSlots> slots_{};
  std::uint32_t posted_slots_ = 0;
  struct Arrived {
    std::uint32_t slot = 0;
    std::uint64_t bytes = 0;
  };
  FixedRing<Arrived, kMessageSlots> arrived_;          // before the client was told that their sender is ready
  FixedRing<std::uint32_t, kMessageSlots> delivered_;  // slots that the client holds, oldest first
  MessageGrants grants_;
  bool grant_outstanding_ = false;
  alignas(16) std::array<std::byte, sizeof(MessageHeader)> grant_message_{};
  std::uint32_t taken_ = 0;
  std::uint32_t completed_ = 0;
  std::uint32_t released_ = 0;
  bool wake_ = false;
  bool ended_ = false;
  bool broken_ = false;
  PortTraffic traffic_;
};

}  // namespace hapair::ccm
