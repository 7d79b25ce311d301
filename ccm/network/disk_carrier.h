// Beats over a mailbox disk (ccm/wire/mailbox_disk.h): this node's newest beat is written to its block, with what
// stands beside it there, and the partner's block is read, by direct I/O in a thread of its own, for a disk may keep
// whoever asks it waiting for ever. The loop that sends and receives never waits: where the thread has not come back,
// what is to go out is refused, and nothing comes.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "ccm/base/time.h"
#include "ccm/network/beat_carrier.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/mailbox_disk.h"
#include "ccm/wire/notice.h"

namespace hapair::ccm {

class DiskCarrier final : public BeatCarrier {
 public:
  // Returns at once: the disk is opened by the thread, and again a second after each error. The partner's block is read
  // after each beat that was written. The error is a sentence: there is no thread to be had.
  static std::expected<std::unique_ptr<DiskCarrier>, std::string> open(const std::string& device, const DiskPair& of);
  ~DiskCarrier() override;  // does not wait for a disk that does not answer
  DiskCarrier(const DiskCarrier&) = delete;
  DiskCarrier& operator=(const DiskCarrier&) = delete;

  bool send(std::span<const std::byte> datagram) override;
  std::span<const Datagram> receive() override;
  // ETIMEDOUT while the disk does not answer.
  [[nodiscard]] int error() const override;
  // The disk is not this pair's: nothing is written to it.
  [[nodiscard]] std::optional<DiskError> refused() const;

 private:
  struct Shared;
  explicit DiskCarrier(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this in the kernel
  DiskBlock came_{};
  Datagram datagram_;
  int unwritten_ = 0;  // beats in a row that the thread had not come back for
};

}  // namespace hapair::ccm
