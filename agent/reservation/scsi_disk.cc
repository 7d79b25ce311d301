#include "agent/reservation/scsi_disk.h"

#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace hapair::agent {
namespace {

namespace fs = std::filesystem;
using Kind = DiskProblem::Kind;

constexpr std::uint8_t kStatusGood = 0x00;
constexpr std::uint8_t kStatusCheckCondition = 0x02;
constexpr std::uint8_t kStatusBusy = 0x08;
constexpr std::uint8_t kStatusConflict = 0x18;
constexpr std::uint8_t kStatusTaskSetFull = 0x28;
// Each thing that happened to a path is told by one refused command, and several may be waiting.
constexpr int kTries = 20;
constexpr useconds_t kBusyUs = 20'000;
constexpr std::size_t kAnswerBytes = 8192;  // 1023 registrations
constexpr int kHostTimedOut = 3;            // DID_TIME_OUT of the kernel's scsi layer

std::string first_line_of(const std::string& file) {
  const auto text = read_file(file, 4096);
  return text ? text->substr(0, text->find('\n')) : "";
}

bool exists(const std::string& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

std::string host_words(const sg_io_hdr& header) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s (host status 0x%02x)",
                header.host_status == kHostTimedOut ? "does not answer in time" : "cannot be reached",
                header.host_status);
  return text.data();
}

}  // namespace

ScsiDisk::ScsiDisk(std::string device, Duration timeout) : device_(std::move(device)), timeout_(timeout) {
  auto problem = find_paths();
  if (problem) {
    paths_.clear();
    paths_.push_back({device_, Fd(), std::move(problem)});
  }
}

std::optional<DiskProblem> ScsiDisk::find_paths() {
  struct stat st{};
  if (::stat(device_.c_str(), &st) != 0) {
    const bool absent = errno == ENOENT;
    return DiskProblem{absent ? Kind::absent : Kind::wrong,
                       errno_text(device_) + (absent ? "; connect it (of iSCSI: log in), or correct the name" : "")};
  }
  if (!S_ISBLK(st.st_mode)) return DiskProblem{Kind::wrong, device_ + ": is no block device; name a disk"};
  const std::string folder =
      "/sys/dev/block/" + std::to_string(major(st.st_rdev)) + ":" + std::to_string(minor(st.st_rdev));
  if (exists(folder + "/partition")) {
    return DiskProblem{Kind::wrong, device_ + ": is a partition; a reservation is always of a whole disk: name that"};
  }
  read_only_ = first_line_of(folder + "/ro") == "1";
  if (!exists(folder + "/dm")) {
    add_path(device_, device_, folder);
    return std::nullopt;
  }
  if (!first_line_of(folder + "/dm/uuid").starts_with("mpath-")) {
    return DiskProblem{Kind::wrong,
                       device_ + ": is made by device mapper (LVM, encryption) of other disks; name those"};
  }
  std::error_code error;
  for (const auto& slave : fs::directory_iterator(folder + "/slaves", error)) {
    const std::string name = slave.path().filename().string();
    add_path(device_ + " over " + name, "/dev/" + name, "/sys/block/" + name);
  }
  if (paths_.empty()) return DiskProblem{Kind::silent, device_ + ": has no path at all (multipath -ll)"};
  // The same order in each call, whatever the folder's is.
  std::ranges::sort(paths_, {}, &Path::title);
  return std::nullopt;
}

void ScsiDisk::add_path(const std::string& title, const std::string& node, const std::string& folder) {
  Path path{title, Fd(), std::nullopt};
  if (!exists(folder + "/device/scsi_level")) {
    path.problem = DiskProblem{Kind::wrong, title + ": is no SCSI disk, and only those have SCSI-3 reservations"};
  } else {
    // Read-only: a disk that was open for writing is probed anew by udev when it is closed. Without waiting: a path
    // that is being recovered must not keep the others.
    path.fd = Fd(::open(node.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!path.fd.valid()) path.problem = DiskProblem{Kind::silent, errno_text(title + ": cannot be opened")};
  }
  paths_.push_back(std::move(path));
}

std::expected<std::size_t, DiskProblem> ScsiDisk::transfer(const Path& path, const Transfer& what) const {
  if (path.problem) return std::unexpected(*path.problem);
  const auto problem = [&path](Kind kind, const std::string& text) {
    return std::unexpected(DiskProblem{kind, path.title + ": " + text});
  };
  std::string last;
  for (int tries = 0; tries < kTries; ++tries) {
    CommandBlock block = what.block;
    std::array<std::uint8_t, 64> sense_bytes{};
    sg_io_hdr header{};
    header.interface_id = 'S';
    header.dxfer_direction = what.direction;
    header.cmd_len = static_cast<unsigned char>(block.size());
    header.cmdp = block.data();
    header.dxferp = what.data.data();
    header.dxfer_len = static_cast<unsigned>(what.data.size());
    header.sbp = sense_bytes.data();
    header.mx_sb_len = static_cast<unsigned char>(sense_bytes.size());
    header.timeout = static_cast<unsigned>(timeout_ / std::chrono::milliseconds(1));
    if (::ioctl(path.fd.get(), SG_IO, &header) != 0) {
      if (errno == EPERM || errno == EACCES) return problem(Kind::wrong, "only root may ask for its reservations");
      return std::unexpected(DiskProblem{Kind::silent, errno_text(path.title + ": takes no SCSI command")});
    }
    if (header.status == kStatusConflict) return problem(Kind::conflict, "answers RESERVATION CONFLICT");
    if (header.status == kStatusBusy || header.status == kStatusTaskSetFull) {
      last = "is busy";
      ::usleep(kBusyUs);
      continue;
    }
    if (header.status == kStatusCheckCondition) {
      const auto sense = parse_sense(std::span(sense_bytes).first(std::min<std::size_t>(header.sb_len_wr, 64)));
      if (!sense) return problem(Kind::wrong, "refuses it without saying why");
      last = meaning_of(*sense);
      if (sense->key == kSenseUnitAttention) continue;  // what it tells by this, the look that follows shows
      if (sense->key == kSenseAbortedCommand) {
        ::usleep(kBusyUs);
        continue;
      }
      return problem(sense->key == kSenseNotReady ? Kind::silent : Kind::wrong, last);
    }
    if (header.status != kStatusGood)
      return problem(Kind::wrong, "answers SCSI status " + std::to_string(header.status));
    if (header.host_status != 0) return problem(Kind::silent, host_words(header));
    return what.data.size() - std::min<std::size_t>(what.data.size(), static_cast<unsigned>(std::max(header.resid, 0)));
  }
  return problem(Kind::silent, last + ", " + std::to_string(kTries) + " times");
}

std::expected<DiskReservations, DiskProblem> ScsiDisk::read_over(const Path& path) const {
  std::array<std::uint8_t, kAnswerBytes> bytes{};
  const auto ask = [&](ReserveInAction action) -> std::expected<std::span<const std::uint8_t>, DiskProblem> {
    const auto came = transfer(path, {command_block(action, bytes.size()), bytes, SG_DXFER_FROM_DEV});
    if (!came) return std::unexpected(came.error());
    return std::span<const std::uint8_t>(bytes).first(*came);
  };
  const auto wrong = [&](const std::string& text) {
    return std::unexpected(DiskProblem{Kind::wrong, path.title + ": " + text});
  };
  DiskReservations said;
  const auto key_bytes = ask(ReserveInAction::read_keys);
  if (!key_bytes) return std::unexpected(key_bytes.error());
  auto keys = parse_keys(*key_bytes);
  if (!keys) return wrong(keys.error());
  said.keys = std::move(*keys);
  const auto reservation_bytes = ask(ReserveInAction::read_reservation);
  if (!reservation_bytes) return std::unexpected(reservation_bytes.error());
  const auto reservation = parse_reservation(*reservation_bytes);
  if (!reservation) return wrong(reservation.error());
  said.reservation = *reservation;
  return said;
}

std::expected<DiskReservations, DiskProblem> ScsiDisk::read() {
  std::optional<DiskProblem> first;
  for (const Path& path : paths_) {
    auto said = read_over(path);
    if (said) return said;
    if (!first) first = said.error();
  }
  return std::unexpected(*first);
}

std::expected<bool, DiskProblem> ScsiDisk::keeps_through_power_loss(const Path& path) {
  if (through_power_loss_) return *through_power_loss_;
  std::array<std::uint8_t, 8> bytes{};
  const auto came =
      transfer(path, {command_block(ReserveInAction::report_capabilities, bytes.size()), bytes, SG_DXFER_FROM_DEV});
  if (!came && came.error().kind != Kind::wrong) return std::unexpected(came.error());
  // Older disks do not know the question: then they are not asked for what they might not have.
  const auto capabilities = came ? parse_capabilities(std::span<const std::uint8_t>(bytes).first(*came))
                                 : std::expected<ReserveCapabilities, std::string>(ReserveCapabilities{});
  if (!capabilities) return std::unexpected(DiskProblem{Kind::wrong, path.title + ": " + capabilities.error()});
  if (!capabilities->registrants_only) {
    return std::unexpected(
        DiskProblem{Kind::wrong,
                    path.title + ": has no reservation of type write-exclusive, registrants only, which hapair makes"});
  }
  through_power_loss_ = capabilities->through_power_loss;
  return *through_power_loss_;
}

std::expected<void, DiskProblem> ScsiDisk::send(std::size_t path, const ReserveOut& command) {
  const Path& over = paths_.at(path);
  const auto keeps = keeps_through_power_loss(over);
  if (!keeps) return std::unexpected(keeps.error());
  ReserveOutParameters parameters = parameters_of(command, *keeps);
  const auto sent = transfer(over, {command_block(command), parameters, SG_DXFER_TO_DEV});
  if (!sent) return std::unexpected(sent.error());
  return {};
}

}  // namespace hapair::agent
