#include "ccm/fabric/verbs/port_end.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/base/fd.h"

namespace hapair::ccm::verbs {
namespace {

using Kind = PortEvent::Kind;

constexpr int kConnectPatience = 10;  // times retry_timeout: it needs several messages of both kernels
constexpr std::uint64_t kReceiveWork = std::uint64_t{1} << 62U;  // in the number of a receive's work request
constexpr std::size_t kDirectBytes = std::size_t{256} * 1024;    // a piece that needs no copy
constexpr std::uint8_t kRnrRetries = 6;                          // 7 would be for ever

}  // namespace

PortEnd::PortEnd(PortId id, const PortToken& token, const PortExposure& exposure, LocalLink& interface, SlowCalls& slow)
    : id_(id), token_(token), exposure_(exposure), interface_(&interface), slow_(&slow) {}

PortEnd::~PortEnd() {
  bury_own();
  bury_partners();
  if (memory_) slow_->release({.device = std::move(memory_)});
}

bool PortEnd::is_token(const PortToken& shown) const {
  std::uint8_t differs = 0;
  for (std::size_t i = 0; i < token_.size(); ++i) {
    differs = static_cast<std::uint8_t>(differs | (token_.at(i) ^ shown.at(i)));
  }
  return differs == 0 && !removed_;
}

std::expected<void, std::string> PortEnd::attach(std::shared_ptr<PortDevice> device) {
  auto made = PortMemory::make(std::move(device), exposure_);
  if (!made) return std::unexpected(made.error());
  memory_ = std::move(*made);
  return {};
}

void PortEnd::detach() {
  end_own(FabricError::link_down, FabricError::link_down);
  bury_partners();
  if (memory_) slow_->release({.device = std::move(memory_)});
}

void PortEnd::bury_own() {
  if (!own_) return;
  request_waits_ = false;
  slow_->interrupt_connect(own_.get());
  slow_->release({.device = memory_, .id = std::move(own_)});
}

void PortEnd::bury_partners() {
  if (partners_.id) slow_->release(std::exchange(partners_, Remains{}));
  ++partners_generation_;
  to_bind_ = answered_ = false;
  if (std::exchange(partner_in_, false)) push(Kind::partner_out, {}, FabricError::disconnected);
}

// ---- own connection ----------------------------------------------------------------------------------------------

void PortEnd::connect(Instant now, const PortToken& partner_token, const Way& way) {
  HAPAIR_CHECK(link_ == Link::none && !removed_, "one attempt or connection of a port at a time");
  link_ = Link::attempt;
  progress_ = now;
  partner_token_ = partner_token;
  if (way.channel == nullptr || !memory_ || !way.link_up)
    return end_own(FabricError::link_down, FabricError::link_down);
  auto id = begin_to_resolve(*way.channel, way.local, way.partner, way.retry_timeout * kConnectPatience);
  if (!id) return fail_own(error_of_errno(id.error()));
  own_ = std::move(*id);
  ++generation_;
}

void PortEnd::take_own_event(Instant now, const CmEvent& event, const Way& way) {
  take_completions(now);
  if (!owns(event.id)) return;
  if (event.type == RDMA_CM_EVENT_ADDR_RESOLVED) {
    const auto begun = own_->verbs == memory_->device().context()
                           ? resolve_route(*own_, way.ack_timeout_exponent, way.retry_timeout * kConnectPatience)
                           : std::unexpected(ENODEV);
    if (!begun) fail_own(error_of_errno(begun.error()));
    return;
  }
  if (event.type == RDMA_CM_EVENT_ROUTE_RESOLVED) return begin_connection(way);
  if (event.type == RDMA_CM_EVENT_ESTABLISHED) {
    const auto answer = parse_connect_answer(event.private_data());
    if (!answer || answer->service != ConnectService::port) return end_own(FabricError::refused, FabricError::refused);
    answer_ = *answer;
    link_ = Link::up;
    progress_ = now;
    return push(Kind::connected, {}, FabricError::none, answer_.regions[0].length);
  }
  if (const auto error = error_of(event)) fail_own(*error);
}

void PortEnd::begin_connection(const Way& way) {
  ibv_qp_init_attr wanted = memory_->pair_attributes();
  if (::rdma_create_qp(own_.get(), memory_->domain(), &wanted) != 0) {
    return end_own(FabricError::link_down, FabricError::link_down);
  }
  send_request(way);
}

void PortEnd::send_request(const Way& way) {
  const ConnectBytes request = encode(ConnectRequest{ConnectService::port, partner_token_});
  rdma_conn_param parameters{};
  parameters.private_data = request.data();
  parameters.private_data_len = request.size();
  parameters.responder_resources = parameters.initiator_depth = memory_->device().reads;
  parameters.retry_count = way.retry_count;
  parameters.rnr_retry_count = kRnrRetries;
  if (!memory_->device().iwarp) {
    if (::rdma_connect(own_.get(), &parameters) != 0) fail_own(error_of_errno(errno));
    return;
  }
  // On iWARP the call may make the whole TCP connection.
  request_waits_ = slow_->connecting();
  if (request_waits_) {
    slow_->interrupt_abandoned();
  } else {
    slow_->connect(own_.get(), parameters, request);
  }
}

void PortEnd::fail_own(FabricError error) {
  if (!interface_->up()) {
    slow_->hold(true);
    error = FabricError::link_down;
  }
  end_own(error, error);
}

// The operation that met the error tells it; those behind it are flushed.
void PortEnd::end_own(FabricError first, FabricError why) {
  if (link_ == Link::none) return;
  const bool attempt = std::exchange(link_, Link::none) == Link::attempt;
  bury_own();
  if (!operations_.empty()) complete_front(first);
  while (!operations_.empty()) complete_front(FabricError::disconnected);
  works_.clear();
  first_to_give_ = 0;
  push(attempt ? Kind::not_connected : Kind::lost, {}, why);
}

// An unheard "connected" becomes the answer that its attempt ended; an unheard "lost" is no news.
void PortEnd::drop() {
  bool owes_answer = link_ == Link::attempt;
  const std::size_t waiting = events_.size();
  for (std::size_t i = 0; i < waiting; ++i) {
    const PortEvent event = events_.front();
    events_.pop();
    if (event.kind == Kind::connected) {
      owes_answer = true;
    } else if (event.kind != Kind::lost) {
      events_.push(event);
    }
  }
  bury_own();
  link_ = Link::none;
  while (!operations_.empty()) complete_front(FabricError::disconnected);
  works_.clear();
  first_to_give_ = 0;
  if (owes_answer) push(Kind::not_connected, {}, FabricError::disconnected);
}

bool PortEnd::within(std::uint64_t offset, std::size_t bytes) const {
  const std::uint32_t length = answer_.regions[0].length;
  return offset <= length && bytes <= length - offset;
}

bool PortEnd::room_for_operation() const {
  return link_ == Link::up && operations_.size() + done_events_ < PortFabric::kQueueDepth;
}

bool PortEnd::posted(Instant now, const Operation& operation) {
  if (operations_.empty()) progress_ = now;
  operations_.push(operation);
  give_pieces();
  return true;
}

bool PortEnd::post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from) {
  if (!room_for_operation() || !within(offset, from.size())) return false;
  return posted(now, {.id = id, .what = What::write, .offset = offset, .from = from.data(), .bytes = from.size()});
}

bool PortEnd::post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into) {
  if (!room_for_operation() || !within(offset, into.size())) return false;
  return posted(now, {.id = id, .what = What::read, .offset = offset, .into = into.data(), .bytes = into.size()});
}

bool PortEnd::post_send(Instant now, OperationId id, std::span<const std::byte> message) {
  if (!room_for_operation() || message.size() > PortFabric::kMaxMessage) return false;
  return posted(now, {.id = id, .what = What::send, .from = message.data(), .bytes = message.size()});
}

void PortEnd::give_pieces() {
  while (link_ == Link::up && first_to_give_ < operations_.size() && !works_.full()) {
    Operation& operation = operations_.at(first_to_give_);
    if (!give_piece(operation)) return;
    if (operation.all_given) ++first_to_give_;
  }
}

// Behind a read that is not answered yet a write or message waits (the fence): else it could overtake it.
bool PortEnd::give_piece(Operation& operation) {
  const bool read = operation.what == What::read;
  const std::byte* const at = (read ? operation.into : operation.from) + operation.given;
  const std::size_t left = operation.bytes - operation.given;
  std::size_t bytes = std::min(left, kDirectBytes);
  std::optional<ibv_sge> piece = memory_->in_registered({at, bytes}, read);
  Work done{.slot = next_piece_ % PortMemory::kPieces};
  if (!piece) {
    bytes = std::min(left, PortMemory::kPieceBytes);
    const auto buffer = memory_->piece(done.slot).first(bytes);
    if (read) {
      done.into = operation.into + operation.given;
    } else if (bytes > 0) {
      std::memcpy(buffer.data(), at, bytes);
    }
    piece = memory_->in_buffers(buffer);
  }
  done.bytes = bytes;
  done.last = operation.given + bytes == operation.bytes;
  ibv_send_wr work{};
  if (operation.what == What::send) {
    work.opcode = IBV_WR_SEND;
  } else {
    work.opcode = read ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
    work.wr.rdma.remote_addr = answer_.regions[0].address + operation.offset + operation.given;
    work.wr.rdma.rkey = answer_.regions[0].key;
  }
  if (!read) work.send_flags = IBV_SEND_FENCE;
  if (bytes == 0) piece.reset();
  if (!give(work, piece, !read && memory_->device().iwarp)) return false;
  operation.given += bytes;
  operation.all_given = done.last;
  works_.push(done);
  ++next_piece_;
  return true;
}

// On iWARP a read follows (`probe`), whose answer tells that what went before has arrived.
bool PortEnd::give(ibv_send_wr& work, const std::optional<ibv_sge>& piece, bool probe) {
  ibv_sge first = piece.value_or(ibv_sge{});
  work.wr_id = generation_;
  work.sg_list = &first;
  work.num_sge = piece ? 1 : 0;
  ibv_sge behind = memory_->in_buffers(memory_->piece(next_piece_ % PortMemory::kPieces).first(sizeof(std::uint64_t)));
  ibv_send_wr read{};
  if (probe) {
    read.wr_id = generation_;
    read.opcode = IBV_WR_RDMA_READ;
    read.send_flags = IBV_SEND_SIGNALED;
    read.wr.rdma.remote_addr = answer_.regions[1].address;
    read.wr.rdma.rkey = answer_.regions[1].key;
    read.sg_list = &behind;
    read.num_sge = 1;
    work.next = &read;
  } else {
    work.send_flags |= IBV_SEND_SIGNALED;
  }
  ibv_send_wr* refused = nullptr;
  return ::ibv_post_send(own_->qp, &work, &refused) == 0;
}

void PortEnd::take_own(Instant now, const ibv_wc& completion) {
  if (link_ != Link::up || completion.wr_id != generation_ || works_.empty()) return;
  if (completion.status != IBV_WC_SUCCESS) {
    return fail_own(error_of(completion.status));
  }
  const Work done = works_.front();
  works_.pop();
  if (done.into != nullptr && done.bytes > 0) {
    std::memcpy(done.into, memory_->piece(done.slot).data(), done.bytes);
  }
  progress_ = now;
  if (!done.last) return;
  complete_front(FabricError::none);
  --first_to_give_;
}

// Bulk data may take as long as it needs, while pieces move.
void PortEnd::check_time(Instant now, const Way& way) {
  if (link_ == Link::none) return;
  if (link_ == Link::attempt && own_ && memory_->device().iwarp) {
    if (request_waits_) send_request(way);
    if (const auto error = slow_->take_connect_error(own_.get())) {
      return fail_own(error_of_errno(*error));
    }
  }
  if (!way.link_up) return end_own(FabricError::link_down, FabricError::link_down);
  const bool attempt = link_ == Link::attempt;
  if (!attempt && operations_.empty()) return;
  if (now - progress_ >= way.retry_timeout * (attempt ? kConnectPatience : 1)) {
    fail_own(FabricError::retry_exceeded);
  }
}

// ---- the partner's connection ------------------------------------------------------------------------------------

void PortEnd::post_receive_buffer(std::uint64_t sequence) {
  ibv_sge piece = memory_->in_buffers(memory_->receive(sequence % PortMemory::kReceives));
  ibv_recv_wr work{};
  work.wr_id = kReceiveWork | partners_generation_;
  work.sg_list = &piece;
  work.num_sge = 1;
  ibv_recv_wr* refused = nullptr;
  ibv_qp* const pair = partners_.pair ? partners_.pair.get() : partners_.id->qp;
  // One that the device does not take ends the connection when the partner sends to it, and is posted with the next.
  (void)::ibv_post_recv(pair, &work, &refused);
}

bool PortEnd::post_receive(OperationId id, std::span<std::byte> into) {
  if (removed_ || into.size() < PortFabric::kMaxMessage) return false;
  if (receives_.size() + received_events_ >= PortFabric::kMaxReceives) return false;
  receives_.push({id, into});
  if (partners_.id) post_receive_buffer(first_receive_ + receives_.size() - 1);
  return true;
}

bool PortEnd::take_partner(Instant now, Handle<rdma_cm_id> request) {
  if (memory_) take_completions(now);  // what the connection of before still brought
  bury_partners();
  if (!memory_ || request->verbs != memory_->device().context()) {
    slow_->release({.id = std::move(request)});
    return false;
  }
  partners_.device = memory_;
  partners_.id = std::move(request);
  if (!make_partners_pair() || !answer_when_bound()) {
    bury_partners();
    return false;
  }
  return true;
}

std::expected<void, std::string> PortEnd::make_partners_pair() {
  const PortDevice& device = memory_->device();
  ibv_qp_init_attr wanted = memory_->pair_attributes();
  partners_key_ = memory_->exposed() != nullptr ? memory_->exposed()->rkey : 0;
  if (device.windows) {
    auto pair = make_ready_pair(*partners_.id, {memory_->domain(), wanted, device.reads, device.infiniband_link});
    if (!pair) return std::unexpected(pair.error());
    partners_.pair = std::move(*pair);
    if (memory_->exposed() != nullptr && memory_->partners_rights() != 0) {
      const auto key =
          bind_window(*partners_.pair, *memory_->exposed(), memory_->partners_rights(), partners_.windows[0]);
      if (!key) return std::unexpected(key.error());
      partners_key_ = *key;
      to_bind_ = true;
    }
  } else if (::rdma_create_qp(partners_.id.get(), memory_->domain(), &wanted) != 0) {
    return std::unexpected(errno_text("rdma_create_qp"));
  }
  for (std::size_t i = 0; i < receives_.size(); ++i) post_receive_buffer(first_receive_ + i);
  return {};
}

// The windows first, because the partner's first operation may follow the answer at once.
bool PortEnd::answer_when_bound() {
  if (to_bind_ || answered_) return true;
  const ibv_mr* const exposed = memory_->exposed();
  const ibv_mr& control = memory_->control();
  const RemoteRegion memory = exposed == nullptr
                                  ? RemoteRegion{}
                                  : RemoteRegion{reinterpret_cast<std::uint64_t>(exposed->addr),
                                                 static_cast<std::uint32_t>(exposed->length), partners_key_};
  const RemoteRegion words{reinterpret_cast<std::uint64_t>(control.addr), sizeof(std::uint64_t), control.rkey};
  const ConnectBytes answer = encode(ConnectAnswer{ConnectService::port, {{memory, words}}});
  rdma_conn_param parameters{};
  if (partners_.pair) parameters.qp_num = partners_.pair->qp_num;
  parameters.private_data = answer.data();
  parameters.private_data_len = answer.size();
  parameters.responder_resources = parameters.initiator_depth = memory_->device().reads;
  parameters.retry_count = parameters.rnr_retry_count = kRnrRetries;
  answered_ = ::rdma_accept(partners_.id.get(), &parameters) == 0;
  return answered_;
}

void PortEnd::note_partner_in() {
  if (!std::exchange(partner_in_, true)) push(Kind::partner_in, {}, FabricError::none);
}

bool PortEnd::take_partner_event(Instant now, const CmEvent& event) {
  if (memory_) take_completions(now);
  if (!is_partners(event.id)) return false;
  if (event.type == RDMA_CM_EVENT_ESTABLISHED) note_partner_in();
  if (!ends_inbound(event)) return false;
  // It is still in order where the partner left; where the partner reached for what it may not, the device stopped it.
  ibv_qp_attr attributes{};
  ibv_qp_init_attr made{};
  const bool stopped = partners_.pair && ::ibv_query_qp(partners_.pair.get(), &attributes, IBV_QP_STATE, &made) == 0 &&
                       attributes.qp_state == IBV_QPS_ERR;
  bury_partners();
  return stopped;
}

void PortEnd::take_received(const ibv_wc& completion) {
  if (completion.wr_id != (kReceiveWork | partners_generation_) || completion.status != IBV_WC_SUCCESS) return;
  note_partner_in();  // its first message may be here before the connection manager tells of it
  if (receives_.empty()) return;
  const Receive one = receives_.front();
  receives_.pop();
  const std::size_t bytes = std::min<std::size_t>(completion.byte_len, PortFabric::kMaxMessage);
  if (bytes > 0) std::memcpy(one.into.data(), memory_->receive(first_receive_ % PortMemory::kReceives).data(), bytes);
  ++first_receive_;
  push(Kind::received, one.id, FabricError::none, static_cast<std::uint32_t>(bytes));
}

// ---- both --------------------------------------------------------------------------------------------------------

void PortEnd::take_completions(Instant now) {
  while (memory_) {
    const auto completion = memory_->next_completion();
    if (!completion) break;
    if (completion->wr_id == kBindWork) {
      if (!partners_.pair || completion->qp_num != partners_.pair->qp_num) continue;
      to_bind_ = completion->status != IBV_WC_SUCCESS;
      if (to_bind_ || !answer_when_bound()) bury_partners();
    } else if ((completion->wr_id & kReceiveWork) != 0) {
      take_received(*completion);
    } else {
      take_own(now, *completion);
    }
  }
  give_pieces();
}

void PortEnd::remove() {
  drop();
  bury_partners();
  receives_.clear();
  if (memory_) slow_->release({.device = std::move(memory_)});
  removed_ = true;
}

void PortEnd::push(Kind kind, OperationId operation, FabricError error, std::uint32_t bytes) {
  if (kind == Kind::done) ++done_events_;
  if (kind == Kind::received) ++received_events_;
  if (kind == Kind::partner_in || kind == Kind::partner_out) ++partner_events_;
  events_.push({kind, id_, operation, error, bytes});
}

void PortEnd::complete_front(FabricError error) {
  push(Kind::done, operations_.front().id, error);
  operations_.pop();
}

std::optional<PortEvent> PortEnd::next_event() {
  if (events_.empty()) return std::nullopt;
  const PortEvent event = events_.front();
  events_.pop();
  if (event.kind == Kind::done) --done_events_;
  if (event.kind == Kind::received) --received_events_;
  if (event.kind == Kind::partner_in || event.kind == Kind::partner_out) --partner_events_;
  return event;
}

}  // namespace hapair::ccm::verbs
