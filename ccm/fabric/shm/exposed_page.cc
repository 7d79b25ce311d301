#include "ccm/fabric/shm/exposed_page.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "ccm/fabric/shm/file_lock.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

bool is_at(const Fd& fd, const std::string& path) {
  struct stat open{};
  struct stat named{};
  return ::fstat(fd.get(), &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

}  // namespace

std::expected<ExposedPage, std::string> ExposedPage::make(const std::string& path, bool lock) {
  ExposedPage page;
  const std::string fresh = path + ".new";
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno_text(fresh));
  page.fd_ = Fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!page.fd_.valid()) return std::unexpected(errno_text(fresh));
  if (::ftruncate(page.fd_.get(), static_cast<off_t>(kPageBytes)) != 0) return std::unexpected(errno_text(fresh));
  auto mapping = Mapping::map(page.fd_, kPageBytes, true);
  if (!mapping) return std::unexpected(fresh + ": " + mapping.error());
  page.mapping_ = std::move(*mapping);
  if (lock && !lock_whole(page.fd_)) return std::unexpected(errno_text(fresh + ": cannot be locked"));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return std::unexpected(errno_text(path));
  page.path_ = path;
  return page;
}

ExposedPage::~ExposedPage() {
  if (!path_.empty() && fd_.valid() && is_at(fd_, path_)) ::unlink(path_.c_str());
}

}  // namespace hapair::ccm
