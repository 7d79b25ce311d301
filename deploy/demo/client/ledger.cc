#include "deploy/demo/client/ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

namespace hapair::demo {
namespace {

constexpr std::uint64_t kMagic = 0x3152474c4d454448;  // "HDEMLGR1"
constexpr std::size_t kMaxLedgerBytes = std::size_t{1} << 32U;
constexpr std::uint64_t kMaxSlots = std::uint64_t{1} << 28U;

std::expected<void, std::string> write_whole(const Fd& fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::unexpected(errno_text("writing the ledger"));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

std::expected<Ledger, std::string> Ledger::create(const std::string& file, const LedgerHead& head) {
  Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid()) return std::unexpected(errno_text("the ledger " + file));
  LedgerHead whole = head;
  whole.magic = kMagic;
  if (const auto written = write_whole(fd, std::as_bytes(std::span(&whole, 1))); !written) {
    return std::unexpected(written.error());
  }
  return Ledger(std::move(fd));
}

std::expected<std::size_t, std::string> Ledger::commit() {
  if (const auto written = write_whole(fd_, std::as_bytes(std::span(pending_))); !written) {
    return std::unexpected(written.error());
  }
  if (::fdatasync(fd_.get()) != 0) return std::unexpected(errno_text("making the ledger durable"));
  const std::size_t lines = pending_.size();
  pending_.clear();
  return lines;
}

std::expected<Demands, std::string> read_ledger(const std::string& file) {
  const auto content = read_file(file, kMaxLedgerBytes);
  if (!content) return std::unexpected(content.error());
  LedgerHead head{};
  if (content->size() < sizeof(head)) return std::unexpected(file + ": is no ledger");
  std::memcpy(&head, content->data(), sizeof(head));
  if (head.magic != kMagic || head.slots == 0 || head.slots > kMaxSlots) {
    return std::unexpected(file + ": is no ledger");
  }
  Demands demands{head.run, head.pool, 0, std::vector<std::uint64_t>(head.slots)};
  // A torn last line was never counted as acknowledged.
  for (std::size_t at = sizeof(head); at + sizeof(LedgerLine) <= content->size(); at += sizeof(LedgerLine)) {
    LedgerLine line;
    std::memcpy(&line, content->data() + at, sizeof(line));
    if (line.slot >= head.slots) return std::unexpected(file + ": a line names a slot that the LUN does not have");
    ++demands.acknowledged;
    demands.newest[line.slot] = std::max(demands.newest[line.slot], line.sequence);
  }
  return demands;
}

}  // namespace hapair::demo
