#include "ccm/base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstdlib>
#include <limits>
#include <string_view>

namespace hapair {

namespace {

// What the kernel could give without hurting others (proc(5), MemAvailable); all where it does not say.
std::uint64_t available_bytes() {
  const auto text = read_file("/proc/meminfo", std::size_t{64} * 1024);
  if (!text) return std::numeric_limits<std::uint64_t>::max();
  constexpr std::string_view kKey = "MemAvailable:";
  const std::size_t at = text->find(kKey);
  if (at == std::string::npos) return std::numeric_limits<std::uint64_t>::max();
  return std::strtoull(text->c_str() + at + kKey.size(), nullptr, 10) * 1024;
}

}  // namespace

std::expected<Fd, std::string> sealed_memory(const char* name, std::uint64_t bytes) {
  // The kernel would take page after page, and end other processes when there are none left.
  if (const std::uint64_t available = available_bytes(); bytes > available / 2) {
    return std::unexpected(std::to_string(bytes) + " bytes of shared memory are more than half of what is available (" +
                           std::to_string(available) + ")");
  }
  Fd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return std::unexpected(errno_text("memfd_create"));
  if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0) {
    return std::unexpected(errno_text(std::to_string(bytes) + " bytes of shared memory"));
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return std::unexpected(errno_text("sealing shared memory"));
  }
  return fd;
}

}  // namespace hapair
