#include "ccm/fabric/shm/partner_memory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "ccm/fabric/shm/file_lock.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

// A page file, whole: a shorter one would end this process at the first touch.
std::expected<Fd, FabricError> open_page(const std::string& path, int mode, struct stat& st) {
  Fd fd(::open(path.c_str(), mode | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return std::unexpected(errno == ENOENT ? FabricError::not_listening : FabricError::refused);
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != static_cast<off_t>(kPageBytes)) {
    return std::unexpected(FabricError::refused);
  }
  return fd;
}

}  // namespace

std::expected<PartnerMemory, FabricError> PartnerMemory::attach(const std::string& status_path,
                                                                const std::string& mailbox_path) {
  PartnerMemory memory;
  memory.status_path_ = status_path;
  struct stat status_stat{};
  auto status_fd = open_page(status_path, O_RDONLY, status_stat);
  if (!status_fd) return std::unexpected(status_fd.error());
  if (!locked_by_another(*status_fd)) return std::unexpected(FabricError::not_listening);
  struct stat mailbox_stat{};
  const auto mailbox_fd = open_page(mailbox_path, O_RDWR, mailbox_stat);
  if (!mailbox_fd) return std::unexpected(mailbox_fd.error());
  auto status = Mapping::map(*status_fd, kPageBytes, false);
  auto mailbox = Mapping::map(*mailbox_fd, kPageBytes, true);
  if (!status || !mailbox) return std::unexpected(FabricError::refused);
  memory.status_fd_ = std::move(*status_fd);
  memory.device_ = status_stat.st_dev;
  memory.inode_ = status_stat.st_ino;
  memory.status_ = std::move(*status);
  memory.mailbox_ = std::move(*mailbox);
  // A life places its mailbox before its status page: where the status page is still the same, so is the mailbox.
  if (!memory.alive()) return std::unexpected(FabricError::not_listening);
  return memory;
}

bool PartnerMemory::alive() const {
  struct stat st{};
  return locked_by_another(status_fd_) && ::lstat(status_path_.c_str(), &st) == 0 && st.st_dev == device_ &&
         st.st_ino == inode_;
}

}  // namespace hapair::ccm
