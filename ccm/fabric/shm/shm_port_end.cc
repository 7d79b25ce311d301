#include "ccm/fabric/shm/shm_port_end.h"

#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/fabric/shm/sealed_memory.h"

namespace hapair::ccm {
namespace {

// In the key of the answer's first region, which is the exposed memory; the second is the ring.
constexpr std::uint32_t kReads = 1;
constexpr std::uint32_t kWrites = 2;
// How often remove() lets others run while a poster is in the midst of a piece: more than a piece takes, and bounded.
constexpr int kTurnsToWait = 1000;

bool watch(const Fd& epoll, const Fd& socket, std::uint64_t number) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket.get(), &event) == 0;
}

}  // namespace

std::expected<std::unique_ptr<ShmPortEnd>, std::string> ShmPortEnd::make(PortId id, const PortToken& token,
                                                                         const PortExposure& exposure) {
  std::unique_ptr<ShmPortEnd> end(new ShmPortEnd(id, token, exposure));
  if (exposure.memory.empty()) return end;
  auto shared = share_memory(exposure.memory_fd, exposure.memory.size(), exposure.partner_writes);
  if (!shared) return std::unexpected(shared.error());
  if (exposure.partner_reads || exposure.partner_writes) end->shared_ = std::move(*shared);
  return end;
}

ShmPortEnd::ShmPortEnd(PortId id, const PortToken& token, const PortExposure& exposure)
    : book_(id),
      token_(token),
      length_(static_cast<std::uint32_t>(exposure.memory.size())),
      partner_reads_(exposure.partner_reads),
      partner_writes_(exposure.partner_writes) {}

// ---- own connection ----------------------------------------------------------------------------------------------

void ShmPortEnd::connect(Instant now, const PortToken& partner_token) {
  book_.begin();
  partner_token_ = partner_token;
  progress_ = now;
}

void ShmPortEnd::forget_own() {
  own_.reset();
  own_ended_ = false;
  answer_.reset();
  remote_.reset();
  works_.clear();
  next_ = 0;
}

void ShmPortEnd::end(FabricError first, FabricError why) {
  forget_own();
  book_.end(first, why);
}

void ShmPortEnd::drop() {
  forget_own();
  book_.drop();
}

void ShmPortEnd::hear_own() {
  while (own_.valid()) {
    PortPacket packet = receive_packet(own_);
    if (packet.kind == PortPacket::Kind::nothing) return;
    if (packet.kind == PortPacket::Kind::ended) {
      own_.reset();
      own_ended_ = true;
    } else if (book_.attempting() && !answer_) {
      answer_ = std::move(packet);
    }  // A bell says no more than that the ring has news, which every turn looks for.
  }
}

void ShmPortEnd::work(Instant now, const Way& way) {
  if (book_.none()) return;
  if (way.path == PortPath::State::own_link_down) return end(FabricError::link_down, FabricError::link_down);
  if (way.path == PortPath::State::no_answer) return end_where_late(now, way.retry_timeout);
  if (book_.attempting()) return work_attempt(now, way);
  if (own_ended_) return end(FabricError::disconnected, FabricError::disconnected);
  carry_out(now);
  if (book_.up()) complete(now);
  if (book_.up()) end_where_late(now, way.answer_timeout);
}

void ShmPortEnd::end_where_late(Instant now, Duration limit) {
  const bool waiting = book_.attempting() || book_.outstanding();
  if (waiting && now - progress_ >= limit) end(FabricError::retry_exceeded, FabricError::retry_exceeded);
}

void ShmPortEnd::ask(Instant now, const Way& way) {
  auto socket = dial(way.partner);
  if (!socket && socket.error() == FabricError::none) return end_where_late(now, way.answer_timeout);
  if (!socket) return end(socket.error(), socket.error());
  own_ = std::move(*socket);
  progress_ = now;
  const auto request = encode(ConnectRequest{ConnectService::port, partner_token_});
  if (!watch(way.epoll, own_, way.number) || !send_packet(own_, request)) {
    end(FabricError::disconnected, FabricError::disconnected);
  }
}

void ShmPortEnd::work_attempt(Instant now, const Way& way) {
  if (answer_) {
    auto remote = remote_of(*answer_);
    answer_.reset();
    if (!remote) return end(FabricError::refused, FabricError::refused);
    remote_ = std::move(remote);
    return book_.established(remote_->length);
  }
  if (own_ended_) return end(FabricError::disconnected, FabricError::disconnected);
  if (!own_.valid()) return ask(now, way);
  end_where_late(now, way.answer_timeout);
}

// Nothing in it is trusted; what it names is mapped only as large as it is.
std::optional<ShmPortEnd::Remote> ShmPortEnd::remote_of(const PortPacket& packet) {
  const auto answer = parse_connect_answer(packet.bytes());
  if (packet.size != kConnectDataBytes || !answer || answer->service != ConnectService::port) return std::nullopt;
  const RemoteRegion& memory = answer->regions[0];
  if (!packet.memory[0].valid() || answer->regions[1].length != kRingBytes) return std::nullopt;
  auto ring_memory = map_foreign_memory(packet.memory[0], kRingBytes, true);
  if (!ring_memory) return std::nullopt;
  auto ring = PosterRing::attach(std::move(*ring_memory));
  if (!ring) return std::nullopt;
  Remote remote{std::move(*ring), {}, memory.length, (memory.key & kReads) != 0, (memory.key & kWrites) != 0};
  if (memory.length > 0 && (remote.reads || remote.writes)) {
    if (!packet.memory[1].valid()) return std::nullopt;
    auto mapping = map_foreign_memory(packet.memory[1], memory.length, remote.writes);
    if (!mapping) return std::nullopt;
    remote.memory = std::move(*mapping);
  }
  return remote;
}

// ---- operations --------------------------------------------------------------------------------------------------

bool ShmPortEnd::within(std::uint64_t offset, std::size_t bytes) const {
  return offset <= remote_->length && bytes <= remote_->length - offset;
}

bool ShmPortEnd::post(Instant now, OperationId id, const Work& work) {
  if (!book_.outstanding()) progress_ = now;
  book_.post(id);
  works_.push(work);
  return true;
}

bool ShmPortEnd::post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from) {
  if (!book_.room_for_operation() || !within(offset, from.size())) return false;
  return post(now, id, {.kind = Work::Kind::write, .offset = offset, .from = from.data(), .bytes = from.size()});
}

bool ShmPortEnd::post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into) {
  if (!book_.room_for_operation() || !within(offset, into.size())) return false;
  return post(now, id, {.kind = Work::Kind::read, .offset = offset, .into = into.data(), .bytes = into.size()});
}

bool ShmPortEnd::post_send(Instant now, OperationId id, std::span<const std::byte> message) {
  if (!book_.room_for_operation() || message.size() > PortFabric::kMaxMessage) return false;
  return post(now, id, {.kind = Work::Kind::send, .from = message.data(), .bytes = message.size()});
}

bool ShmPortEnd::has_right(const Work& work) const {
  return work.kind == Work::Kind::send || (work.kind == Work::Kind::read ? remote_->reads : remote_->writes);
}

std::size_t ShmPortEnd::carry_piece(Work& work, std::size_t budget) {
  const std::size_t piece = std::min(work.bytes - work.moved, budget);
  if (work.kind == Work::Kind::send) {
    work.message = remote_->ring.put({work.from, work.bytes});
    work.moved = work.bytes;
  } else if (piece > 0) {
    std::byte* const there = remote_->memory.bytes().data() + work.offset + work.moved;
    if (work.kind == Work::Kind::read) {
      std::memcpy(work.into + work.moved, there, piece);
    } else {
      std::memcpy(there, work.from + work.moved, piece);
    }
    work.moved += piece;
  }
  return piece;
}

void ShmPortEnd::carry_out(Instant now) {
  std::size_t budget = kPieceBytes;
  bool placed = false;
  while (has_work() && budget > 0) {
    Work& work = works_.at(next_);
    if (!has_right(work)) {
      if (next_ > 0) break;  // those before it complete first
      (void)send_word(own_, PortWord::no_right);
      return end(FabricError::remote_access, FabricError::remote_access);
    }
    if (!remote_->ring.begin_piece()) return end(FabricError::disconnected, FabricError::disconnected);
    budget -= carry_piece(work, budget);
    remote_->ring.end_piece();
    progress_ = now;
    placed = placed || work.kind == Work::Kind::send;
    if (work.moved == work.bytes) ++next_;
  }
  if (placed) (void)send_word(own_, PortWord::bell);
}

void ShmPortEnd::complete(Instant now) {
  const auto taken = remote_->ring.taken();
  if (!taken) return end(FabricError::disconnected, FabricError::disconnected);
  while (next_ > 0) {
    const Work& oldest = works_.front();
    if (oldest.kind == Work::Kind::send && oldest.message > *taken) return;
    works_.pop();
    --next_;
    progress_ = now;
    book_.complete_oldest(FabricError::none);
  }
}

// ---- the partner's connection ------------------------------------------------------------------------------------

bool ShmPortEnd::take_partner(Fd socket, const Fd& epoll, std::uint64_t number) {
  auto memory = make_sealed_memory("hapair-port-ring", kRingBytes);
  if (!memory) return false;
  auto mapping = Mapping::map(*memory, kRingBytes, true);
  if (!mapping) return false;
  ExposerRing ring(std::move(*mapping));
  const std::uint32_t rights = (partner_reads_ ? kReads : 0U) | (partner_writes_ ? kWrites : 0U);
  const auto answer =
      encode(ConnectAnswer{ConnectService::port, {{{0, length_, rights}, {0, std::uint32_t{kRingBytes}, 0}}}});
  const std::array<int, 2> descriptors{memory->get(), shared_.get()};
  if (!watch(epoll, socket, number) ||
      !send_packet(socket, answer, std::span(descriptors).first(shared_.valid() ? 2 : 1))) {
    return false;
  }
  close_partner();
  partners_ = std::move(socket);
  ring_.emplace(std::move(ring));
  book_.partner_came();
  return true;
}

ShmPortEnd::Broken ShmPortEnd::hear_partner() {
  Broken broken = Broken::no;
  while (partners_.valid() && broken == Broken::no) {
    const PortPacket packet = receive_packet(partners_);
    if (packet.kind == PortPacket::Kind::nothing) break;
    if (packet.kind == PortPacket::Kind::ended) {
      partners_.reset();
      partner_ended_ = true;
    } else if (packet.is(PortWord::no_right)) {
      broken = Broken::right;
    } else if (!packet.is(PortWord::bell)) {
      broken = Broken::rule;
    }
  }
  // What it sent before it ended has arrived.
  bool took = false;
  while (ring_) {
    const auto look = ring_->look();
    if (look == ExposerRing::Look::nothing) break;
    if (look == ExposerRing::Look::broken || book_.receives() == 0) {
      broken = Broken::rule;
      break;
    }
    book_.received(ring_->take(book_.receive(0).into));
    took = true;
  }
  if (took && partners_.valid()) (void)send_word(partners_, PortWord::bell);
  if (broken != Broken::no) {
    close_partner();
    book_.partner_left();
  }
  return broken;
}

// Across a cut link nothing is heard, its end neither.
void ShmPortEnd::work_partner(PortPath::State path) {
  if (!partner_ended_ || path != PortPath::State::open) return;
  close_partner();
  book_.partner_left();
}

void ShmPortEnd::close_partner() {
  if (ring_) (void)ring_->revoke();
  ring_.reset();
  partners_.reset();
  partner_ended_ = false;
}

void ShmPortEnd::remove() {
  forget_own();
  if (ring_) {
    for (int i = 0; i < kTurnsToWait && !ring_->revoke(); ++i) ::sched_yield();
  }
  close_partner();
  shared_.reset();
  book_.remove();
}

}  // namespace hapair::ccm
