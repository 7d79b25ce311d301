// The UDP socket of one network. It is open even while its address is not there yet: an interface may come up later. It
// is read at each beat and wakes nobody: the kernel notes when each datagram came, and a flood of them costs one beat's
// worth of reading and whatever else does not fit into the socket's queue.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/wire/beat_datagram.h"

namespace hapair::ccm {

struct Datagram {
  // What is longer than a beat is cut to one byte more, so that it can be told from one.
  std::span<const std::byte> bytes;
  Duration age{};  // since it came, by a clock that can be set: never trusted for more than the time between two looks
};

class BeatSocket {
 public:
  // The error is a sentence.
  static std::expected<BeatSocket, std::string> open(const Endpoint& local, const Endpoint& partner);

  // False where the kernel would not send it; error() says why.
  bool send(std::span<const std::byte> datagram);
  // One batch of what has come, in the order in which it came; empty where there is no more. Valid until the next call.
  std::span<const Datagram> receive();
  // errno of the last send, 0 where it went out.
  [[nodiscard]] int error() const { return error_; }

 private:
  static constexpr std::size_t kBatch = 16;

  BeatSocket(Fd socket, const Endpoint& partner) : socket_(std::move(socket)), partner_(partner) {}

  Fd socket_;
  Endpoint partner_;
  int error_ = 0;
  std::array<std::array<std::byte, kBeatBytes + 1>, kBatch> buffers_{};
  std::array<Datagram, kBatch> came_;
};

}  // namespace hapair::ccm
