#include "agent/cli/mailbox_disk.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "ccm/base/direct_io.h"
#include "ccm/base/fd.h"

namespace hapair::cli {
namespace {

std::unexpected<std::string> failed(const std::string& text) { return std::unexpected(text); }

// A block device that is mounted, or in use by device mapper or software RAID, is not opened.
std::expected<Fd, std::string> open_alone(const std::string& device) {
  struct stat st{};
  if (::stat(device.c_str(), &st) != 0) {
    return failed(errno_text(device) + (errno == ENOENT
                                            ? "; it may be a block device, or a file: fallocate -l 160KiB " + device
                                            : std::string()));
  }
  if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) return failed(device + ": is neither a block device nor a file");
  Fd disk(::open(device.c_str(), O_RDWR | O_CLOEXEC | (S_ISBLK(st.st_mode) ? O_EXCL : 0)));
  if (disk.valid()) return disk;
  return failed(errno_text(device) + (errno == EBUSY ? "; it is mounted, or part of something that is in use" : ""));
}

std::expected<void, std::string> write_area(const Fd& disk, const std::string& device, const ccm::DiskPair& of) {
  // The header last: an area is there when all of it is.
  std::vector<std::byte> area(ccm::kDiskBytes);
  ccm::DiskAreaId id{};
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) return failed(errno_text("getrandom"));
  const auto header = ccm::encode_disk_header(of, id);
  const auto put = [&](std::span<const std::byte> bytes) {
    return ::pwrite(disk.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()) &&
           ::fsync(disk.get()) == 0;
  };
  if (put(area) && put(header)) return {};
  return std::unexpected(errno_text(device + " cannot be written"));
}

// Past the page cache, which shows nothing of what another node writes.
std::expected<bool, std::string> beats_move(const std::string& device) {
  constexpr useconds_t kStepUs = 100'000;
  constexpr int kSteps = 25;
  const Fd disk(::open(device.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  const DirectBlock block;
  std::array<std::vector<std::byte>, 2> before;
  for (int step = 0; step < kSteps; ++step) {
    for (std::size_t beat = 0; beat < before.size(); ++beat) {
      if (const int error = read_block(disk, 1 + beat, block); error != 0) {
        errno = error;
        return failed(errno_text(device + " cannot be read") + ". Nothing was written");
      }
      std::vector<std::byte> now(block.bytes().begin(), block.bytes().end());
      if (step != 0 && now != before.at(beat)) return true;
      before.at(beat) = std::move(now);
    }
    ::usleep(kStepUs);
  }
  return false;
}

}  // namespace

std::expected<MadeArea, std::string> make_mailbox_area(const std::string& device, const ccm::DiskPair& of,
                                                       bool overwrite) {
  const auto disk = open_alone(device);
  if (!disk) return std::unexpected(disk.error());
  std::vector<std::byte> there(ccm::kDiskBytes);
  const ssize_t n = ::pread(disk->get(), there.data(), there.size(), 0);
  if (n < 0) return failed(errno_text(device + " cannot be read"));
  if (n < static_cast<ssize_t>(there.size())) {
    return failed(device + ": has " + std::to_string(n) + " bytes; a mailbox disk needs " +
                  std::to_string(ccm::kDiskBytes));
  }
  const auto checked = ccm::check_disk_header(std::span(there).first(ccm::kDiskBlockBytes), of);
  if (checked && !overwrite) return MadeArea::was_there;
  if (checked) {
    const auto moves = beats_move(device);
    if (!moves) return std::unexpected(moves.error());
    if (*moves)
      return failed(device +
                    ": a node beats there, so the disk is in use. Nothing was written. Stop the pools and ccmd on both "
                    "nodes first");
  }
  const bool blank = !checked && std::ranges::all_of(there, [](std::byte byte) { return byte == std::byte{}; });
  if (!checked && !blank && !overwrite) {
    const auto what = checked.error() == ccm::DiskError::blank ? ccm::DiskError::no_area : checked.error();
    return failed(device + ": " + std::string(text_of(what)) +
                  ". Nothing was written. If its first 160 KiB may be lost: add --overwrite");
  }
  if (auto written = write_area(*disk, device, of); !written) return std::unexpected(written.error());
  return checked ? MadeArea::made_anew : MadeArea::made;
}

}  // namespace hapair::cli
