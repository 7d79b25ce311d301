// Fabric shm: two nodes on one machine, for demonstrations and tests. It is truly one-sided: a stopped partner can
// still be read and written, a killed one cannot, and a machine without power or link does not answer.
//
// Files in `dir`, each node's its own; both nodes must see the same folder:
//   NODE.status   4096 bytes, mode 0600, locked by the CCM while it lives: the lock is what "listens" here
//   NODE.mailbox  4096 bytes, mode 0600, written by the partner
//   NODE.lock     held by the CCM, so that a second one of the same node is refused
//   NODE.port     the node's port and power, where somebody stands for them (port_file.h)
//   NODE.ports    where the ports of clients listen (shm_port_fabric.h)
//
// | what is found                                   | connect          | operation, and then the connection        |
// | own link down                                   | link_down        | link_down, lost (link_down)               |
// | the partner's link down or its machine off      | retry_exceeded   | retry_exceeded, lost (retry_exceeded)     |
// | its page missing, not locked, or another life's | not_listening    | remote_access, lost (disconnected)        |
// Without an answer, an operation or an attempt ends only after `retry_timeout`; a link that returns before then hides
// that it was gone.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/fabric.h"
#include "ccm/fabric/shm/exposed_page.h"
#include "ccm/fabric/shm/partner_memory.h"
#include "ccm/fabric/shm/port_file.h"

namespace hapair::ccm {

struct ShmSettings {
  std::string dir;
  PairName pair;
  NodeName node;
  NodeName partner;
  Duration retry_timeout = std::chrono::milliseconds(20);  // where the link is cut or the machine off
  // Of ports, for what needs the partner's process: a connection let in, a message taken.
  Duration answer_timeout = std::chrono::seconds(1);
};

// DIR/NODE with `suffix`.
std::string shm_path(const ShmSettings& settings, const NodeName& node, const char* suffix);

class ShmFabric final : public Fabric {
 public:
  explicit ShmFabric(ShmSettings settings);

  std::expected<void, std::string> open() override;
  [[nodiscard]] std::span<std::byte> status_memory() override { return status_.bytes(); }
  [[nodiscard]] std::span<std::byte> mailbox_memory() override { return mailbox_.bytes(); }

  void connect(Instant now) override;
  void drop(Instant now) override;
  bool post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) override;
  bool post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                  std::span<const std::byte> from) override;
  std::size_t poll(Instant now, std::span<FabricEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] Duration last_round_trip() const override { return last_round_trip_; }
  [[nodiscard]] std::string_view device() const override { return settings_.dir; }
  [[nodiscard]] std::string_view kind() const override { return "shm"; }

 private:
  enum class Link : std::uint8_t { none, attempt, up };
  using Path = PortPath::State;

  struct Operation {
    OperationId id;
    Instant posted;
    RemotePage page = RemotePage::status;
    std::size_t offset = 0;
    std::span<std::byte> into;        // of a read
    std::span<const std::byte> from;  // of a write
    [[nodiscard]] bool reads() const { return !into.empty(); }
  };

  bool post(const Operation& operation);
  void advance(Instant now);
  void advance_attempt(Instant now);
  void advance_operations(Instant now);
  [[nodiscard]] FabricError perform(const Operation& operation);
  void complete(FabricError error);
  void end_connection(FabricError first_operation, FabricError why);

  static constexpr std::size_t kQueueDepth = 16;

  ShmSettings settings_;
  Fd own_lock_;
  ExposedPage mailbox_;  // before the status page: it must be there when that one is found
  ExposedPage status_;
  PortPath path_;

  Link link_ = Link::none;
  Instant attempt_since_;
  std::optional<PartnerMemory> partner_;
  FixedRing<Operation, kQueueDepth> operations_;    // posted and not completed
  FixedRing<FabricEvent, 2 * kQueueDepth> events_;  // happened and not polled
  Duration last_round_trip_{};
};

}  // namespace hapair::ccm
