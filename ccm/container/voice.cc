#include "ccm/container/voice.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace hapair::ccm {

Voice Voice::of(int fd) {
  Voice voice;
  struct stat st{};
  if (::fstat(fd, &st) != 0) return voice;
  if (S_ISSOCK(st.st_mode)) {
    voice.socket_ = fd;
  } else if (S_ISFIFO(st.st_mode) || ::isatty(fd) != 0) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    voice.own_ = Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  return voice;
}

void Voice::say(int severity, std::string_view text) const {
  std::string line = "<" + std::to_string(severity) + ">";
  line += text;
  line += '\n';
  if (socket_ >= 0) {
    (void)::send(socket_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (own_.valid() && ::write(own_.get(), line.data(), line.size()) < 0) {
    return;  // nobody reads it, or not in time
  }
}

}  // namespace hapair::ccm
