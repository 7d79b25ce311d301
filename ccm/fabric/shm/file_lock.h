// Write locks of open file descriptions (fcntl(2), F_OFD_SETLK): they end with the description, so with the process,
// however it ends; and two in one process exclude each other as two in two processes do.
#pragma once

#include <fcntl.h>

#include "ccm/base/fd.h"

namespace hapair::ccm {

inline struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// False with errno EAGAIN where another holds it.
inline bool lock_whole(const Fd& fd) {
  struct flock lock = whole_file();
  return ::fcntl(fd.get(), F_OFD_SETLK, &lock) == 0;
}

inline bool locked_by_another(const Fd& fd) {
  struct flock lock = whole_file();
  return ::fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace hapair::ccm
