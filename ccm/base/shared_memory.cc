#include "ccm/base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace hapair {

std::expected<Fd, std::string> sealed_memory(const char* name, std::uint64_t bytes) {
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
