#include "ccm/fabric/shm/sealed_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace hapair::ccm {
namespace {

bool sealed(int memory) {
  const int seals = ::fcntl(memory, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

// Of at least `bytes`, in ordinary pages: huge ones can run out at a touch, which ends the process too.
bool holds(int memory, std::size_t bytes) {
  struct stat st{};
  struct statfs fs{};
  return ::fstat(memory, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
         static_cast<std::size_t>(st.st_size) >= bytes && ::fstatfs(memory, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

}  // namespace

std::expected<Fd, std::string> make_sealed_memory(const char* name, std::size_t bytes) {
  Fd memory(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return std::unexpected(errno_text("memfd_create"));
  if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return std::unexpected(errno_text("memory of " + std::to_string(bytes) + " bytes cannot be sealed"));
  }
  return memory;
}

std::expected<Fd, std::string> share_memory(int memory, std::size_t bytes, bool writable) {
  if (!sealed(memory) && ::fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
    return std::unexpected(
        errno_text("the memory of a port over shm is a memfd with MFD_ALLOW_SEALING, and this is none"));
  }
  if (!holds(memory, bytes)) {
    return std::unexpected("the port's memfd has fewer than the " + std::to_string(bytes) +
                           " bytes that it exposes, or is of huge pages");
  }
  // Opened anew: a duplicate would carry the caller's own rights to it.
  const std::string path = "/proc/self/fd/" + std::to_string(memory);
  Fd shared(::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!shared.valid())
    return std::unexpected(errno_text(path + ": the port's memory cannot be opened for the partner"));
  return shared;
}

std::expected<Mapping, FabricError> map_foreign_memory(const Fd& memory, std::size_t bytes, bool writable) {
  if (bytes == 0 || !sealed(memory.get()) || !holds(memory.get(), bytes)) return std::unexpected(FabricError::refused);
  auto mapping = Mapping::map(memory, bytes, writable);
  if (!mapping) return std::unexpected(FabricError::refused);
  return std::move(*mapping);
}

}  // namespace hapair::ccm
