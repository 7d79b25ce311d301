// 1 MiB remote writes over a port of user-space iWARP on loopback, eight outstanding: each complete once it is placed
// in the other process's memory and its CRC was checked.
//
// usage: iwarp_write [MEGABYTES]; prints the throughput in gigabits per second.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ccm/fabric/iwarp/iwarp_port_fabric.h"

namespace hapair::ccm {
namespace {

constexpr PortId kPort{1};
constexpr std::size_t kMegabyte = std::size_t{1} << 20U;
constexpr std::size_t kOutstanding = 8;

const SystemClock kClock;

IwarpSettings settings(const char* own, const char* partner) {
  return {.address = own, .partner_address = partner, .service_port = 7492, .retry_timeout = std::chrono::seconds(5)};
}

PortToken token() {
  PortToken bytes{};
  bytes.fill(0x42);
  return bytes;
}

void wait_for(int fd) {
  pollfd one{fd, POLLIN, 0};
  ::poll(&one, 1, 1000);
}

[[noreturn]] void serve_memory(int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<std::byte> memory(kOutstanding * kMegabyte);
  IwarpPortFabric fabric(settings("127.0.0.2", "127.0.0.1"));
  if (!fabric.open() ||
      !fabric.add(kPort, token(), {.memory = memory, .partner_reads = true, .partner_writes = true}) ||
      ::write(ready, "r", 1) != 1)
    ::_exit(1);
  std::array<PortEvent, 16> events;
  while (true) {
    wait_for(fabric.poll_fd());
    (void)fabric.poll(kClock.now(), events);
  }
}

// How many operations completed in one turn; nothing where one failed.
std::optional<std::size_t> completed(IwarpPortFabric& fabric) {
  wait_for(fabric.poll_fd());
  std::array<PortEvent, 16> events;
  const std::size_t count = fabric.poll(kClock.now(), events);
  for (std::size_t i = 0; i < count; ++i) {
    if (events.at(i).error != FabricError::none) return std::nullopt;
  }
  return count;
}

int run(std::size_t megabytes) {
  std::array<int, 2> ready{};
  char said = 0;
  if (::pipe(ready.data()) != 0) return 1;
  if (::fork() == 0) serve_memory(ready[1]);
  ::close(ready[1]);
  IwarpPortFabric fabric(settings("127.0.0.1", "127.0.0.2"));
  if (::read(ready[0], &said, 1) != 1 || !fabric.open() || !fabric.add(kPort, PortToken{}, {})) {
    std::fputs("iwarp_write: the ports 7492 of 127.0.0.1 and 127.0.0.2 could not be opened\n", stderr);
    return 1;
  }
  fabric.connect(kClock.now(), kPort, token());
  std::optional<std::size_t> done = 0;
  while (done && *done == 0) done = completed(fabric);
  const std::vector<std::byte> from(kOutstanding * kMegabyte, std::byte{0x5a});
  std::size_t posted = 0;
  std::size_t finished = 0;
  const Instant before = kClock.now();
  while (done && finished < megabytes) {
    while (posted < megabytes && posted < finished + kOutstanding) {
      const std::size_t at = posted % kOutstanding * kMegabyte;
      if (!fabric.post_write(kClock.now(), kPort, OperationId(posted), at, std::span(from).subspan(at, kMegabyte)))
        break;
      ++posted;
    }
    done = completed(fabric);
    if (done) finished += *done;
  }
  if (!done) {
    std::fputs("iwarp_write: the connection was lost\n", stderr);
    return 1;
  }
  const double seconds = ms_of(kClock.now() - before) / 1000;
  std::printf("%.2f\n", static_cast<double>(megabytes * kMegabyte * 8) / seconds / 1e9);
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  return hapair::ccm::run(argc > 1 ? static_cast<std::size_t>(std::max(std::atoi(argv[1]), 1)) : 2048);
}
