#include "ccm/base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace hapair {

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::expected<Mapping, std::string> Mapping::map(const Fd& fd, std::size_t size, bool writable) {
  void* at = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return std::unexpected(errno_text("mmap"));
  Mapping mapping;
  mapping.bytes_ = {static_cast<std::byte*>(at), size};
  return mapping;
}

void Mapping::reset() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  bytes_ = {};
}

std::string errno_text(const std::string& what) { return what + ": " + std::strerror(errno); }

std::expected<std::string, std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::unexpected(errno_text(path));
  std::string content;
  std::array<char, 16384> chunk{};
  while (true) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(errno_text(path));
    if (n == 0) return content;
    content.append(chunk.data(), static_cast<std::size_t>(n));
    if (content.size() > max_bytes) {
      return std::unexpected(path + ": is larger than the " + std::to_string(max_bytes) + " bytes allowed");
    }
  }
}

}  // namespace hapair
