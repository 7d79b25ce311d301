// The least that a heartbeat does, to see what a machine takes for it: every pace a datagram to the partner, and each
// of the partner's read as it comes. It judges nothing. usage: bare_beat OWN_IPV4 PARTNER_IPV4 PORT PACE_US; ends when
// it is killed.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: bare_beat OWN_IPV4 PARTNER_IPV4 PORT PACE_US\n", stderr);
    return 2;
  }
  const auto address = [&](const char* ip) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[3])));
    if (::inet_pton(AF_INET, ip, &to.sin_addr) != 1) std::exit(2);
    return to;
  };
  const sockaddr_in own = address(argv[1]);
  const sockaddr_in partner = address(argv[2]);
  const long pace_ns = 1000 * std::atol(argv[4]);
  if (pace_ns <= 0 || pace_ns >= 1'000'000'000) return 2;
  const int beats = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (::bind(beats, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
      ::connect(beats, reinterpret_cast<const sockaddr*>(&partner), sizeof partner) != 0) {
    std::perror("bare_beat");
    return 1;
  }
  const int timer = ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
  const itimerspec every{{0, pace_ns}, {0, pace_ns}};
  if (::timerfd_settime(timer, 0, &every, nullptr) != 0) return 1;
  std::array<pollfd, 2> awaited{{{timer, POLLIN, 0}, {beats, POLLIN, 0}}};
  std::array<char, 64> beat{};
  std::array<char, 64> heard{};
  std::uint64_t due = 0;
  while (::poll(awaited.data(), awaited.size(), -1) >= 0) {
    if (awaited[1].revents != 0) (void)::recv(beats, heard.data(), heard.size(), 0);
    if (awaited[0].revents == 0) continue;
    (void)::read(timer, &due, sizeof due);
    // The partner may not be there yet.
    (void)::send(beats, beat.data(), beat.size(), 0);
  }
  return 1;
}
