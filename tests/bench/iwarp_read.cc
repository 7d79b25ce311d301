// A one-sided read of the status page over user-space iWARP, beside the same bytes as a bare TCP ping-pong: alternating
// in one run, on loopback, both ends asleep until something comes. Those who ask are on the first core, those who
// answer on the last: where the scheduler put them would otherwise make a factor of three, for either.
//
// usage: iwarp_read [ROUNDS]; prints min/median/max of each in microseconds, n, and the ratio of the medians.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/fabric/iwarp/iwarp_fabric.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kAsked = 52;       // a read request as it lies on the wire
constexpr std::size_t kAnswered = 4116;  // a page as the answer to it
constexpr int kBlock = 100;
constexpr std::uint16_t kPort = 7490;

const SystemClock kClock;

void wait_for(int fd) {
  pollfd one{fd, POLLIN, 0};
  ::poll(&one, 1, 1000);
}

IwarpSettings settings(const char* own, const char* partner) {
  return {.address = own, .partner_address = partner, .service_port = kPort, .retry_timeout = std::chrono::seconds(5)};
}

void stay_on(long core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  if (::sched_setaffinity(0, sizeof cores, &cores) != 0) std::fputs("iwarp_read: not on a core of its own\n", stderr);
}

void answer_from_the_last_core() { stay_on(::sysconf(_SC_NPROCESSORS_ONLN) - 1); }

[[noreturn]] void serve_pages(int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  answer_from_the_last_core();
  IwarpFabric fabric(settings("127.0.0.2", "127.0.0.1"));
  if (!fabric.open() || ::write(ready, "r", 1) != 1) ::_exit(1);
  std::array<FabricEvent, 4> events;
  while (true) {
    wait_for(fabric.poll_fd());
    (void)fabric.poll(kClock.now(), events);
  }
}

[[noreturn]] void serve_pings(int socket) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  answer_from_the_last_core();
  std::array<char, kAnswered> bytes{};
  while (true) {
    wait_for(socket);
    if (::recv(socket, bytes.data(), kAsked, MSG_WAITALL) != static_cast<ssize_t>(kAsked)) ::_exit(0);
    if (::send(socket, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) ::_exit(0);
  }
}

// A connected TCP socket whose other end answers pings.
Fd pinger() {
  const auto end = Endpoint::make("127.0.0.1", kPort + 2);
  const auto listener = iwarp::listen_at(*end);
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || ::connect(socket.get(), end->address(), end->length()) != 0) std::abort();
  wait_for(listener->get());
  const Fd accepted(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  iwarp::tune(socket, std::chrono::seconds(5));
  iwarp::tune(accepted, std::chrono::seconds(5));
  if (::fork() == 0) serve_pings(accepted.get());
  return socket;
}

bool event_of(Fabric& fabric, FabricEvent::Kind kind) {
  std::array<FabricEvent, 4> events;
  for (int i = 0; i < 1000; ++i) {
    wait_for(fabric.poll_fd());
    const std::size_t count = fabric.poll(kClock.now(), events);
    for (std::size_t e = 0; e < count; ++e) {
      if (events.at(e).kind == kind && events.at(e).error == FabricError::none) return true;
      if (events.at(e).error != FabricError::none) return false;
    }
  }
  return false;
}

double us_since(Instant before) { return ms_of(kClock.now() - before) * 1000; }

bool read_block(Fabric& fabric, std::vector<double>& taken) {
  std::array<std::byte, kPageBytes> page{};
  for (int i = 0; i < kBlock; ++i) {
    const Instant before = kClock.now();
    if (!fabric.post_read(before, OperationId(1), RemotePage::status, 0, page) ||
        !event_of(fabric, FabricEvent::Kind::read_done)) {
      return false;
    }
    taken.push_back(us_since(before));
  }
  return true;
}

bool ping_block(int socket, std::vector<double>& taken) {
  std::array<char, kAnswered> bytes{};
  for (int i = 0; i < kBlock; ++i) {
    const Instant before = kClock.now();
    if (::send(socket, bytes.data(), kAsked, 0) != static_cast<ssize_t>(kAsked)) return false;
    wait_for(socket);
    if (::recv(socket, bytes.data(), bytes.size(), MSG_WAITALL) != static_cast<ssize_t>(bytes.size())) return false;
    taken.push_back(us_since(before));
  }
  return true;
}

double show(const char* what, std::vector<double>& taken) {
  std::ranges::sort(taken);
  const double median = taken[taken.size() / 2];
  std::printf("%-28s min %.1f  median %.1f  max %.1f us  n=%zu\n", what, taken.front(), median, taken.back(),
              taken.size());
  return median;
}

int run(int rounds) {
  stay_on(0);
  std::array<int, 2> ready{};
  if (::pipe(ready.data()) != 0) return 1;
  if (::fork() == 0) serve_pages(ready[1]);
  ::close(ready[1]);
  char said = 0;
  if (::read(ready[0], &said, 1) != 1) {
    std::fputs("iwarp_read: the other end could not listen at 127.0.0.2 port 7490\n", stderr);
    return 1;
  }
  const Fd socket = pinger();
  IwarpFabric fabric(settings("127.0.0.1", "127.0.0.2"));
  if (const auto opened = fabric.open(); !opened) {
    std::fprintf(stderr, "iwarp_read: %s\n", opened.error().c_str());
    return 1;
  }
  fabric.connect(kClock.now());
  if (!event_of(fabric, FabricEvent::Kind::connected)) return 1;
  std::vector<double> reads;
  std::vector<double> pings;
  for (int i = 0; i < rounds; ++i) {
    if (!read_block(fabric, reads) || !ping_block(socket.get(), pings)) {
      std::fputs("iwarp_read: the connection was lost\n", stderr);
      return 1;
    }
  }
  const double read = show("one-sided read, 4096 bytes", reads);
  const double ping = show("TCP ping-pong, same bytes", pings);
  std::printf("ratio of the medians: %.2f\n", read / ping);
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) { return hapair::ccm::run(argc > 1 ? std::max(std::atoi(argv[1]), 1) : 50); }
