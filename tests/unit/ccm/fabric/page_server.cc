#include "tests/unit/ccm/fabric/page_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace hapair::ccm {

void serve_pages(Fabric& fabric, std::byte mark, int channel) {
  std::ranges::fill(fabric.status_memory(), mark);
  const SystemClock clock;
  char question = 'r';
  if (::write(channel, &question, 1) != 1) return;
  std::array<FabricEvent, 4> events;
  while (true) {
    std::array<pollfd, 2> fds{{{fabric.poll_fd(), POLLIN, 0}, {channel, POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), 20);
    (void)fabric.poll(clock.now(), events);
    if (fds[1].revents == 0) continue;
    if (::read(channel, &question, 1) != 1) return;
    const auto mailbox = fabric.mailbox_memory();
    if (::write(channel, mailbox.data(), mailbox.size()) != static_cast<ssize_t>(mailbox.size())) return;
  }
}

}  // namespace hapair::ccm
