// This node's end of one port over verbs: its own connection, over which it reaches the partner's memory, and the
// partner's, which reaches the exposed memory and fills the receive buffers. Allocates only when it is made or
// connected.
//
// An operation goes to the device in pieces: straight from and to memory that the port's owner named when it was added,
// through buffers of its own for any other.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/ip/local_link.h"
#include "ccm/fabric/port_fabric.h"
#include "ccm/fabric/verbs/cm.h"
#include "ccm/fabric/verbs/handles.h"
#include "ccm/fabric/verbs/pair.h"
#include "ccm/fabric/verbs/port_memory.h"
#include "ccm/fabric/verbs/slow_calls.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm::verbs {

class PortEnd {
 public:
  PortEnd(PortId id, const PortToken& token, const PortExposure& exposure, LocalLink& interface, SlowCalls& slow);
  ~PortEnd();
  PortEnd(const PortEnd&) = delete;
  PortEnd& operator=(const PortEnd&) = delete;

  [[nodiscard]] PortId id() const { return id_; }
  // In constant time: how much of a wrong token is right shows nowhere.
  [[nodiscard]] bool is_token(const PortToken& shown) const;

  // The device is there; the error is a sentence. And it is gone: connections end.
  std::expected<void, std::string> attach(std::shared_ptr<PortDevice> device);
  void detach();
  [[nodiscard]] bool attached() const { return memory_ != nullptr; }

  // The own connection.
  struct Way {
    rdma_event_channel* channel;  // null: there is no device
    const Endpoint& local;
    const Endpoint& partner;
    Duration retry_timeout;
    std::uint8_t ack_timeout_exponent;
    std::uint8_t retry_count;
    bool link_up;
  };
  void connect(Instant now, const PortToken& partner_token, const Way& way);
  void end_own(FabricError first, FabricError why);
  void drop();
  bool post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from);
  bool post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into);
  bool post_send(Instant now, OperationId id, std::span<const std::byte> message);
  [[nodiscard]] bool owns(const rdma_cm_id* id) const { return own_ && own_.get() == id; }
  void take_own_event(Instant now, const CmEvent& event, const Way& way);

  // The partner's connection.
  bool post_receive(OperationId id, std::span<std::byte> into);
  // False: too much of earlier ones was not polled yet; the request has to be turned away.
  [[nodiscard]] bool takes_partner() const { return partner_events_ + 2 <= kPartnerEvents; }
  // In exchange for the connection of before. False: the device could not make it.
  bool take_partner(Instant now, Handle<rdma_cm_id> request);
  [[nodiscard]] bool is_partners(const rdma_cm_id* id) const { return partners_.id && partners_.id.get() == id; }
  // True: it ended because the partner reached for what it has no right to.
  bool take_partner_event(Instant now, const CmEvent& event);

  void take_completions(Instant now);
  void check_time(Instant now, const Way& way);

  // From here on only what was not polled yet is left of it.
  void remove();
  [[nodiscard]] bool removed() const { return removed_; }
  [[nodiscard]] bool drained() const { return events_.empty(); }
  std::optional<PortEvent> next_event();

 private:
  enum class Link : std::uint8_t { none, attempt, up };
  enum class What : std::uint8_t { write, read, send };
  struct Operation {
    OperationId id;
    What what = What::write;
    std::uint64_t offset = 0;
    const std::byte* from = nullptr;
    std::byte* into = nullptr;
    std::size_t bytes = 0;
    std::size_t given = 0;  // to the device
    bool all_given = false;
  };
  struct Work {
    std::byte* into = nullptr;  // of a piece that was read into a buffer of ours
    std::size_t bytes = 0;
    std::size_t slot = 0;
    bool last = false;  // of its operation
  };
  struct Receive {
    OperationId id;
    std::span<std::byte> into;
  };
  static constexpr std::size_t kPartnerEvents = 6;
  static constexpr std::size_t kLinkEvents = 4;
  static constexpr std::size_t kEvents =
      PortFabric::kQueueDepth + PortFabric::kMaxReceives + kPartnerEvents + kLinkEvents;

  // What went wrong with the own connection; asks whether it is this node that has no link.
  void fail_own(FabricError error);
  void push(PortEvent::Kind kind, OperationId operation, FabricError error, std::uint32_t bytes = 0);
  void complete_front(FabricError error);
  [[nodiscard]] bool within(std::uint64_t offset, std::size_t bytes) const;
  [[nodiscard]] bool room_for_operation() const;
  bool posted(Instant now, const Operation& operation);
  void give_pieces();
  bool give_piece(Operation& operation);
  bool give(ibv_send_wr& work, const std::optional<ibv_sge>& piece, bool probe);
  void begin_connection(const Way& way);
  void send_request(const Way& way);
  void take_own(Instant now, const ibv_wc& completion);
  void take_received(const ibv_wc& completion);
  void post_receive_buffer(std::uint64_t sequence);
  std::expected<void, std::string> make_partners_pair();
  bool answer_when_bound();
  void note_partner_in();
  void bury_own();
  void bury_partners();

  PortId id_;
  PortToken token_;
  PortExposure exposure_;
  LocalLink* interface_;
  SlowCalls* slow_;
  std::shared_ptr<PortMemory> memory_;  // while there is a device

  Handle<rdma_cm_id> own_;
  PortToken partner_token_{};
  ConnectAnswer answer_;
  bool request_waits_ = false;
  Link link_ = Link::none;
  Instant progress_;
  std::uint64_t generation_ = 0;
  std::uint64_t next_piece_ = 0;
  FixedRing<Operation, PortFabric::kQueueDepth> operations_;
  FixedRing<Work, PortMemory::kPieces> works_;
  std::size_t first_to_give_ = 0;  // within operations_

  Remains partners_;
  std::uint64_t partners_generation_ = 0;
  std::uint32_t partners_key_ = 0;
  bool to_bind_ = false;
  bool answered_ = false;
  bool partner_in_ = false;
  bool removed_ = false;

  FixedRing<Receive, PortFabric::kMaxReceives> receives_;
  std::uint64_t first_receive_ = 0;  // sequence of the oldest in receives_
  FixedRing<PortEvent, kEvents> events_;
  std::size_t done_events_ = 0;
  std::size_t received_events_ = 0;
  std::size_t partner_events_ = 0;
};

}  // namespace hapair::ccm::verbs
