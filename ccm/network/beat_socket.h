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
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/network/beat_carrier.h"
#include "ccm/wire/beat_datagram.h"

namespace hapair::ccm {

class BeatSocket final : public BeatCarrier {
 public:
  // The error is a sentence.
  static std::expected<BeatSocket, std::string> open(const Endpoint& local, const Endpoint& partner);

  bool send(std::span<const std::byte> datagram) override;
  std::span<const Datagram> receive() override;
  [[nodiscard]] int error() const override { return error_; }

 private:
  BeatSocket(Fd socket, const Endpoint& partner) : socket_(std::move(socket)), partner_(partner) {}

  Fd socket_;
  Endpoint partner_;
  int error_ = 0;
  std::array<std::array<std::byte, kBeatBytes + 1>, kBeatBatch> buffers_{};
  std::array<Datagram, kBeatBatch> came_;
};

}  // namespace hapair::ccm
