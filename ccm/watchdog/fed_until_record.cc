#include "ccm/watchdog/fed_until_record.h"

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace hapair::ccm {

std::expected<FedUntilRecord, std::string> FedUntilRecord::open(const std::string& file, const BootId& boot_id) {
  const Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return std::unexpected(errno_text(file));
  // Never writes into a hole later: a file system that is full by then would end the process.
  if (const int error = ::posix_fallocate(fd.get(), 0, sizeof(FedUntilLayout)); error != 0) {
    errno = error;
    return std::unexpected(errno_text(file));
  }
  auto memory = Mapping::map(fd, sizeof(FedUntilLayout), true);
  if (!memory) return std::unexpected(memory.error());
  FedUntilRecord record(std::move(*memory));
  FedUntilLayout& layout = record.layout();
  std::atomic_ref<std::uint64_t> magic(layout.magic);
  if (magic.load(std::memory_order_acquire) == kFedUntilMagic && layout.boot_id == boot_id.bytes) return record;
  magic.store(0, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  layout.entries = {};
  layout.running = {};
  layout.boot_id = boot_id.bytes;
  magic.store(kFedUntilMagic, std::memory_order_release);
  return record;
}

FedUntilLayout& FedUntilRecord::layout() const { return *reinterpret_cast<FedUntilLayout*>(memory_.bytes().data()); }

FedUntilTable FedUntilRecord::table() const { return FedUntilTable(layout().entries); }

}  // namespace hapair::ccm
