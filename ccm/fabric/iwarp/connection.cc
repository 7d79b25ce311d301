#include "ccm/fabric/iwarp/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm::iwarp {
namespace {

constexpr std::uint16_t kReads = 16;  // IRD and ORD that we offer
constexpr int kReceivesATurn = 16;    // then others get their turn

}  // namespace

bool Connection::dial(const Endpoint& local, const Endpoint& remote, const ConnectRequest& request, bool crc,
                      Duration user_timeout, Instant now) {
  close();
  crc_ = crc;
  since_ = now;
  auto socket = iwarp::dial(local, remote);
  if (!socket) {
    end(socket.error());
    return false;
  }
  socket_ = std::move(*socket);
  tune(socket_, user_timeout);
  const ConnectBytes data = encode(request);
  MpaFrame frame;
  frame.crc = crc;
  frame.enhanced = true;
  frame.ird = frame.ord = kReads;
  frame.private_data = data;
  queue(frame);
  phase_ = Phase::dialling;
  return true;
}

void Connection::take(Fd socket, bool crc, Duration user_timeout, Instant now) {
  close();
  crc_ = crc;
  since_ = now;
  socket_ = std::move(socket);
  tune(socket_, user_timeout);
  phase_ = Phase::awaiting_request;
}

void Connection::accept(const ConnectAnswer& answer, std::span<const Region> regions) {
  HAPAIR_CHECK(phase_ == Phase::requested, "a request is answered once");
  const ConnectBytes data = encode(answer);
  MpaFrame frame;
  frame.reply = true;
  frame.crc = crc_ || peer_.crc;
  frame.revision = peer_.revision;
  // An initiator of revision 2 wants to know how many reads we answer at a time, also where it did not ask.
  frame.enhanced = peer_.revision == 2;
  frame.ird = kReads;
  frame.ord = kReads;
  frame.peer_to_peer = frame.rtr_write = peer_.peer_to_peer && peer_.rtr_write;
  frame.private_data = data;
  queue(frame);
  phase_ = Phase::up;
  begin_stream(frame.crc, peer_, regions);
  flush();
}

void Connection::reject() {
  HAPAIR_CHECK(phase_ == Phase::requested, "a request is answered once");
  MpaFrame frame;
  frame.reply = frame.rejected = true;
  frame.revision = peer_.revision;
  frame.enhanced = peer_.enhanced;
  queue(frame);
  (void)send_negotiation();
  // The other end must be able to read it: no reset.
  const linger orderly{0, 0};
  (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &orderly, sizeof orderly);
  end(FabricError::refused);
}

void Connection::begin_stream(bool crc, const MpaFrame& peer, std::span<const Region> regions) {
  StreamTerms terms;
  terms.crc = crc;
  terms.regions = regions;
  terms.reads_in = Stream::kMaxReads;
  terms.ready_to_receive = !peer.reply && peer.peer_to_peer && peer.rtr_write;
  const std::uint32_t offered = peer.enhanced && peer.ird > 0 ? peer.ird : kReads;
  terms.reads_out = std::min<std::uint32_t>(offered, kReads);
  stream_.begin(terms);
}

void Connection::close() {
  socket_.reset();
  phase_ = Phase::idle;
  watched_ = 0;
  moved_ = 0;
  blocked_ = malformed_ = false;
  error_ = FabricError::none;
  in_bytes_ = out_bytes_ = out_sent_ = 0;
  stream_.closed();
}

void Connection::end(FabricError error) {
  error_ = error;
  phase_ = Phase::ended;
  blocked_ = false;
  socket_.reset();
  stream_.closed();
}

void Connection::end_malformed() {
  malformed_ = true;
  end(FabricError::disconnected);
}

void Connection::queue(const MpaFrame& frame) {
  out_bytes_ = encode(frame, out_);
  out_sent_ = 0;
}

// True where all of our frame is on its way.
bool Connection::send_negotiation() {
  while (out_sent_ < out_bytes_) {
    const ssize_t n = ::send(socket_.get(), out_.data() + out_sent_, out_bytes_ - out_sent_, MSG_NOSIGNAL);
    if (n > 0) {
      out_sent_ += static_cast<std::size_t>(n);
      continue;
    }
    blocked_ = errno == EAGAIN || errno == EINTR;
    if (!blocked_) end(fabric_error(errno, FabricError::disconnected));
    return false;
  }
  blocked_ = false;
  return true;
}

void Connection::work() {
  if (phase_ == Phase::dialling) {
    int error = 0;
    socklen_t length = sizeof error;
    (void)::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return end(fabric_error(error, FabricError::retry_exceeded));
    sockaddr_storage peer{};
    length = sizeof peer;
    if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) return;  // not yet
    if (!send_negotiation()) return;
    phase_ = Phase::awaiting_reply;
  }
  if (phase_ == Phase::awaiting_reply || phase_ == Phase::awaiting_request) read_negotiation();
  if (phase_ == Phase::up) {
    flush();
    if (phase_ == Phase::up) read_stream();
  }
}

void Connection::read_negotiation() {
  while (phase_ == Phase::awaiting_reply || phase_ == Phase::awaiting_request) {
    // No byte beyond the frame is taken: what follows belongs to the stream.
    const bool reply = phase_ == Phase::awaiting_reply;
    std::size_t wanted = kMpaHeaderBytes;
    if (in_bytes_ >= kMpaHeaderBytes) {
      const auto parsed = parse_mpa(std::span(in_).first(in_bytes_), reply);
      if (!parsed) return end_malformed();
      if (*parsed) {
        if (reply) {
          take_reply(**parsed);
        } else {
          take_request(**parsed);
        }
        return;
      }
      wanted = kMpaHeaderBytes + (std::to_integer<std::size_t>(in_[18]) << 8U) + std::to_integer<std::size_t>(in_[19]);
    } else if (in_bytes_ > 0 && !parse_mpa(std::span(in_).first(in_bytes_), reply)) {
      return end_malformed();
    }
    const ssize_t n = ::recv(socket_.get(), in_.data() + in_bytes_, wanted - in_bytes_, 0);
    if (n > 0) {
      in_bytes_ += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    return end(n == 0 ? FabricError::disconnected : fabric_error(errno, FabricError::disconnected));
  }
}

void Connection::take_reply(const ParsedMpa& parsed) {
  const MpaFrame& frame = parsed.frame;
  if (frame.rejected) return end(FabricError::refused);
  if (frame.markers) return end_malformed();
  const auto answer = parse_connect_answer(frame.private_data);
  if (!answer) return end_malformed();
  answer_ = *answer;
  phase_ = Phase::up;
  begin_stream(crc_ || frame.crc, frame, {});
}

void Connection::take_request(const ParsedMpa& parsed) {
  const MpaFrame& frame = parsed.frame;
  peer_ = frame;
  peer_.private_data = {};
  const auto request = parse_connect_request(frame.private_data);
  phase_ = Phase::requested;
  if (!request || frame.markers) {
    malformed_ = true;
    reject();
    return;
  }
  request_ = *request;
}

void Connection::flush() {
  if (phase_ != Phase::up || !send_negotiation()) return;
  while (true) {
    const std::span<const std::byte> bytes = stream_.to_send();
    if (bytes.empty()) break;
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      stream_.sent(static_cast<std::size_t>(n));
      moved_ += static_cast<std::size_t>(n);
      continue;
    }
    blocked_ = errno == EAGAIN || errno == EINTR;
    if (!blocked_) end(fabric_error(errno, FabricError::disconnected));
    return;
  }
  blocked_ = false;
}

void Connection::read_stream() {
  for (int i = 0; i < kReceivesATurn; ++i) {
    const std::span<std::byte> space = stream_.receive_space();
    const ssize_t n = ::recv(socket_.get(), space.data(), space.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return end(n == 0 ? FabricError::disconnected : fabric_error(errno, FabricError::disconnected));
    moved_ += static_cast<std::size_t>(n);
    const bool goes_on = stream_.received(static_cast<std::size_t>(n));
    if (!goes_on) {
      // The last word must reach the other end: no reset behind it.
      const linger orderly{0, 0};
      (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &orderly, sizeof orderly);
      flush();
      if (phase_ != Phase::up) return;
      (void)::shutdown(socket_.get(), SHUT_WR);
      const auto& word = stream_.terminate_received();
      return end(word && is_access_error(*word) ? FabricError::remote_access : FabricError::disconnected);
    }
    flush();
    if (phase_ != Phase::up || static_cast<std::size_t>(n) < space.size()) return;
  }
}

void Connection::watch(const Fd& epoll, std::uint64_t number) {
  if (!socket_.valid()) {
    watched_ = 0;
    return;
  }
  const bool writes = phase_ == Phase::dialling || blocked_;
  const std::uint32_t wanted = EPOLLIN | (writes ? std::uint32_t{EPOLLOUT} : 0U);
  if (watched_ == wanted && number_ == number) return;
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = number;
  (void)::epoll_ctl(epoll.get(), watched_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket_.get(), &event);
  watched_ = wanted;
  number_ = number;
}

}  // namespace hapair::ccm::iwarp
