#include "agent/shell/control_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace hapair::agent {
namespace {

// For a client that neither finishes a request nor reads its reply, nor asks for anything.
constexpr Duration kPatience = std::chrono::seconds(30);
constexpr std::size_t kEnoughForOneTurn = 64U << 10;  // of replies; further requests wait for the loop's next turn
constexpr std::size_t kTooMuchToFollow = 1U << 20;

}  // namespace

ControlConnection::ControlConnection(sd_event* loop, const Clock& clock, Fd fd, ControlPeer peer, OnMessage on_message,
                                     OnOversized on_oversized, OnEnd on_end)
    : loop_(loop),
      clock_(&clock),
      fd_(std::move(fd)),
      peer_(std::move(peer)),
      on_message_(std::move(on_message)),
      on_oversized_(std::move(on_oversized)),
      on_end_(std::move(on_end)),
      io_(watch_fd(loop, fd_.get(), EPOLLIN, on_io, this)) {
  arm(true);
}

void ControlConnection::reply(const control::v1::Reply& reply) { output_ += control::framed(reply); }

void ControlConnection::follow_with(const control::v1::Reply& reply) {
  if (overrun_) return;
  const bool was_idle = output_.empty();
  output_ += control::framed(reply);
  overrun_ = output_.size() > kTooMuchToFollow;
  if (overrun_) {
    deadline_ = call_at(loop_, clock_->now(), on_deadline, this);
  } else {
    arm(was_idle);
  }
}

int ControlConnection::on_io(sd_event_source*, int fd, std::uint32_t events, void* context) {
  auto* self = static_cast<ControlConnection*>(context);
  Fate fate = Fate::open;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !self->closing_) fate = self->read_all();
  if (fate == Fate::open) {
    self->handle_messages();
    fate = self->overrun_ ? Fate::slow : self->write_all();
  }
  const bool finished = self->closing_ || (self->peer_done_ && !self->more_waits_);
  if (fate == Fate::open && self->output_.empty() && finished) fate = Fate::closed;
  if (fate != Fate::open) {
    self->on_end_(fd, fate);
    return 0;
  }
  self->arm(true);
  return 0;
}

int ControlConnection::on_deadline(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<ControlConnection*>(context);
  self->on_end_(self->fd_.get(), Fate::slow);
  return 0;
}

ControlConnection::Fate ControlConnection::read_all() {
  std::array<char, 65536> bytes;
  // Bounded, so that one client that never stops does not keep the loop.
  for (int i = 0; i < 4; ++i) {
    const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n > 0) {
      input_.add({bytes.data(), static_cast<std::size_t>(n)});
      continue;
    }
    if (n == 0) {
      peer_done_ = true;
      return Fate::open;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN ? Fate::open : Fate::closed;
  }
  return Fate::open;
}

void ControlConnection::handle_messages() {
  while (!closing_) {
    more_waits_ = output_.size() >= kEnoughForOneTurn && !input_.empty();
    if (more_waits_) return;
    const auto message = input_.next();
    if (!message) {
      on_oversized_(*this, message.error());
      closing_ = true;
    } else if (!*message) {
      return;
    } else if (!on_message_(*this, **message)) {
      closing_ = true;
    }
  }
  more_waits_ = false;
}

ControlConnection::Fate ControlConnection::write_all() {
  std::size_t written = 0;
  while (written < output_.size()) {
    const ssize_t n =
        ::send(fd_.get(), output_.data() + written, output_.size() - written, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      written += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    return Fate::closed;
  }
  output_.erase(0, written);
  return Fate::open;
}

void ControlConnection::arm(bool progress) {
  const bool wants_input = !closing_ && !peer_done_ && output_.size() < kEnoughForOneTurn;
  const bool wants_turn = !output_.empty() || more_waits_;
  const std::uint32_t events = (wants_input ? EPOLLIN : 0U) | (wants_turn ? EPOLLOUT : 0U);
  sd_event_source_set_io_events(io_.get(), events);
  if (followed && output_.empty()) {
    deadline_.reset();
  } else if (progress || deadline_ == nullptr) {
    deadline_ = call_at(loop_, clock_->now() + kPatience, on_deadline, this);
  }
}

}  // namespace hapair::agent
