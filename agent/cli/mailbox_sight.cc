#include "agent/cli/mailbox_sight.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "ccm/base/direct_io.h"
#include "ccm/base/fd.h"

namespace hapair::cli {
namespace {

constexpr Duration kStep = std::chrono::milliseconds(20);

int timed_read(const Fd& disk, std::size_t number, const DirectBlock& into, std::vector<Duration>& took) {
  const SystemClock clock;
  const Instant begun = clock.now();
  const int failed = read_block(disk, number, into);
  if (failed == 0) took.push_back(clock.now() - begun);
  return failed;
}

}  // namespace

std::string_view text_of(BlockSight::State state) {
  switch (state) {
    case BlockSight::State::blank:
      return "blank";
    case BlockSight::State::beats:
      return "beats";
    case BlockSight::State::stands:
      return "stands";
    case BlockSight::State::garbage:
      return "garbage";
    case BlockSight::State::version:
      return "version";
    case BlockSight::State::forged:
      return "forged";
    case BlockSight::State::misdirected:
      return "misdirected";
  }
  return "unknown";
}

void BlockSight::take(std::span<const std::byte> block, const ccm::DiskPair& of, std::uint8_t network,
                      const ccm::Key& key) {
  const bool moved_before = state == State::beats;
  const auto bytes = block.first(ccm::kBeatBytes);
  const bool empty = std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{}; });
  const auto beat = ccm::parse_beat(bytes);
  const auto found = [&](State what) {
    state = what;
    last.reset();
  };
  if (empty) return found(State::blank);
  if (!beat) return found(beat.error() == ccm::BeatError::version ? State::version : State::garbage);
  if (beat->pair != of.pair || beat->sender != node) return found(State::garbage);
  if (!ccm::beat_is_authentic(bytes, key)) return found(State::forged);
  if (beat->network != network) return found(State::misdirected);
  const bool same_life = last && last->incarnation == beat->incarnation;
  const bool moved = last && (!same_life || last->sequence != beat->sequence);
  if (same_life && beat->sequence > last->sequence) moved_by += beat->sequence - last->sequence;
  state = moved || moved_before ? State::beats : State::stands;
  last = *beat;
}

MailboxSight look_at_mailbox(const std::string& device, const ccm::DiskPair& of, std::uint8_t network,
                             const ccm::Key& key, Duration patience) {
  MailboxSight sight;
  sight.blocks[0].node = of.node;
  sight.blocks[1].node = of.partner;
  // Not to wait where somebody put a FIFO.
  const Fd disk(::open(device.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK));
  if (!disk.valid()) {
    sight.error = errno;
    return sight;
  }
  const DirectBlock block;
  const ccm::Key beats_key = ccm::beat_key(key);
  const SystemClock clock;
  std::optional<Instant> begun;
  while (true) {
    sight.error = timed_read(disk, 0, block, sight.reads);
    if (sight.error == 0) {
      const auto checked = ccm::check_disk_header(block.bytes(), of);
      sight.not_ours = checked ? std::nullopt : std::optional(checked.error());
    }
    for (std::size_t i = 0; i < sight.blocks.size() && sight.whole(); ++i) {
      const std::size_t number = i == 0 ? ccm::beat_block(of.node, of.partner) : ccm::beat_block(of.partner, of.node);
      sight.error = timed_read(disk, number, block, sight.reads);
      if (sight.error == 0) sight.blocks.at(i).take(block.bytes(), of, network, beats_key);
    }
    if (!begun) begun = clock.now();
    sight.span = clock.now() - *begun;
    const bool all_beat =
        std::ranges::all_of(sight.blocks, [](const BlockSight& one) { return one.state == BlockSight::State::beats; });
    if (!sight.whole() || all_beat || sight.span >= patience) break;
    std::this_thread::sleep_for(kStep);
  }
  std::ranges::sort(sight.reads);
  return sight;
}

std::vector<std::string> problems_of_device(const std::string& device) {
  std::vector<std::string> problems;
  struct stat st{};
  if (::stat(device.c_str(), &st) != 0) return {errno_text(device)};
  if (!S_ISBLK(st.st_mode)) {
    if (!S_ISREG(st.st_mode)) return {device + ": is neither a block device nor a file"};
    if (st.st_size < static_cast<off_t>(ccm::kDiskBytes)) {
      problems.push_back(device + ": has " + std::to_string(st.st_size) + " bytes; a mailbox disk needs " +
                         std::to_string(ccm::kDiskBytes));
    }
    return problems;
  }
  const Fd disk(::open(device.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!disk.valid()) return {errno_text(device)};
  std::uint64_t bytes = 0;
  int read_only = 0;
  int sector = 0;
  if (::ioctl(disk.get(), BLKGETSIZE64, &bytes) == 0 && bytes < ccm::kDiskBytes) {
    problems.push_back(device + ": has " + std::to_string(bytes) + " bytes; a mailbox disk needs " +
                       std::to_string(ccm::kDiskBytes));
  }
  if (::ioctl(disk.get(), BLKROGET, &read_only) == 0 && read_only != 0) {
    problems.push_back(device + ": is read-only: neither node can beat there");
  }
  if (::ioctl(disk.get(), BLKSSZGET, &sector) == 0 && sector > static_cast<int>(ccm::kDiskBlockBytes)) {
    problems.push_back(device + ": has sectors of " + std::to_string(sector) + " bytes; up to " +
                       std::to_string(ccm::kDiskBlockBytes) + " can be used");
  }
  return problems;
}

bool name_may_move(std::string_view device) {
  constexpr std::array<std::string_view, 5> kByOrder{"/dev/sd", "/dev/vd", "/dev/xvd", "/dev/nvme", "/dev/dm-"};
  return std::ranges::any_of(kByOrder, [device](std::string_view kind) { return device.starts_with(kind); });
}

bool same_disk(const std::string& one, const std::string& other) {
  struct stat first{};
  struct stat second{};
  if (::stat(one.c_str(), &first) != 0 || ::stat(other.c_str(), &second) != 0) return false;
  if (S_ISBLK(first.st_mode) && S_ISBLK(second.st_mode)) return first.st_rdev == second.st_rdev;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace hapair::cli
