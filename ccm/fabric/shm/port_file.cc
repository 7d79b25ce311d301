#include "ccm/fabric/shm/port_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "ccm/fabric/shm/file_lock.h"

namespace hapair::ccm {
namespace {

PortFileLayout& layout_of(const Mapping& mapping) { return *reinterpret_cast<PortFileLayout*>(mapping.bytes().data()); }

std::uint32_t link_word(const Mapping& mapping) {
  return std::atomic_ref<std::uint32_t>(layout_of(mapping).link_up).load(std::memory_order_acquire);
}

}  // namespace

void PortView::refresh() {
  struct stat st{};
  const bool there = ::stat(path_.c_str(), &st) == 0;
  if (!there) {
    mapping_.reset();
    fd_.reset();
    link_up_ = true;
    powered_ = true;
    return;
  }
  if (!mapping_.valid() || st.st_dev != device_ || st.st_ino != inode_) {
    // A file that is being made, or that is not a port's: a machine that is not on yet.
    if (!map_anew()) {
      link_up_ = true;
      powered_ = false;
      return;
    }
  }
  link_up_ = link_word(mapping_) != 0;
  powered_ = locked_by_another(fd_);
}

bool PortView::map_anew() {
  mapping_.reset();
  // Only read, but Linux answers F_OFD_GETLK for a write lock on any descriptor.
  fd_ = Fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st{};
  if (!fd_.valid() || ::fstat(fd_.get(), &st) != 0 || !S_ISREG(st.st_mode) ||
      st.st_size < static_cast<off_t>(kPortFileBytes)) {
    return false;
  }
  auto mapping = Mapping::map(fd_, kPortFileBytes, false);
  if (!mapping) return false;
  mapping_ = std::move(*mapping);
  if (layout_of(mapping_).magic != kPortMagic) {
    mapping_.reset();
    return false;
  }
  device_ = st.st_dev;
  inode_ = st.st_ino;
  return true;
}

PortPath::State PortPath::look() {
  own_.refresh();
  if (!own_.link_up()) return State::own_link_down;
  partner_.refresh();
  return partner_.link_up() && partner_.powered() ? State::open : State::no_answer;
}

std::expected<PortFile, std::string> PortFile::open(const std::string& path, bool create) {
  PortFile port;
  port.path_ = path;
  port.fd_ = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600));
  if (!port.fd_.valid()) return std::unexpected(errno_text(path));
  struct stat st{};
  if (::fstat(port.fd_.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return std::unexpected(path + ": is not a regular file");
  }
  const bool fresh = st.st_size == 0;
  if (fresh && !create)
    return std::unexpected(path + ": is empty; it becomes a port with: hapair-shm-port hold " + path);
  if (!fresh && st.st_size < static_cast<off_t>(kPortFileBytes)) {
    return std::unexpected(path + ": is no port file: it is too short");
  }
  if (fresh && ::ftruncate(port.fd_.get(), static_cast<off_t>(kPortFileBytes)) != 0) {
    return std::unexpected(errno_text(path));
  }
  auto mapping = Mapping::map(port.fd_, kPortFileBytes, true);
  if (!mapping) return std::unexpected(path + ": " + mapping.error());
  port.mapping_ = std::move(*mapping);
  if (fresh) {
    port.set_link(true);
    std::atomic_ref<std::uint64_t>(layout_of(port.mapping_).magic).store(kPortMagic, std::memory_order_release);
  } else if (layout_of(port.mapping_).magic != kPortMagic) {
    return std::unexpected(path + ": is no port file: it does not begin with its magic");
  }
  return port;
}

std::expected<void, std::string> PortFile::hold() {
  if (lock_whole(fd_)) return {};
  if (errno == EAGAIN || errno == EACCES) return std::unexpected(path_ + ": another process holds this port already");
  return std::unexpected(errno_text(path_));
}

void PortFile::set_link(bool up) {
  std::atomic_ref<std::uint32_t>(layout_of(mapping_).link_up).store(up ? 1 : 0, std::memory_order_release);
}

bool PortFile::link_up() const { return link_word(mapping_) != 0; }
bool PortFile::held() const { return locked_by_another(fd_); }

}  // namespace hapair::ccm
