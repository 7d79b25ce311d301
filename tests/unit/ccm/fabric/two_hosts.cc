#include "tests/unit/ccm/fabric/two_hosts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>

#include "ccm/base/fd.h"
#include "ccm/fabric/iwarp/tcp.h"

namespace hapair::ccm {
namespace {

bool answers(const std::string& host) {
  constexpr std::uint16_t kNobody = 9;
  const auto end = Endpoint::make(host, kNobody);
  const Fd socket(::socket(end->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), end->address(), end->length()) == 0 || errno == ECONNREFUSED) return true;
  if (errno != EINPROGRESS) {
    ::usleep(20'000);
    return false;
  }
  pollfd fd{socket.get(), POLLOUT, 0};
  ::poll(&fd, 1, 200);
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  return error == ECONNREFUSED;
}

}  // namespace

bool TwoHosts::possible() { return ::geteuid() == 0; }

pid_t TwoHosts::hold_namespace() {
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) std::abort();
  const pid_t holder = ::fork();
  if (holder == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool good = ::unshare(CLONE_NEWNET) == 0 && ::write(ready[1], "r", 1) == 1;
    ::close(ready[1]);
    while (good) ::pause();
    ::_exit(1);
  }
  ::close(ready[1]);
  char said = 0;
  EXPECT_EQ(::read(ready[0], &said, 1), 1) << "a network namespace could not be made";
  ::close(ready[0]);
  return holder;
}

TwoHosts::TwoHosts() : home_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
  for (pid_t& holder : holders_) holder = hold_namespace();
  run(R"(
    for host in "$alpha" "$beta" "$switch"; do in_host "$host" ip link set lo up; done
    in_host "$switch" ip link add br0 type bridge
    in_host "$switch" ip link set br0 up
    n=1
    for host in "$alpha" "$beta"; do
      in_host "$switch" ip link add "p$n" type veth peer name eth0 netns "$host"
      in_host "$switch" ip link set "p$n" master br0
      in_host "$switch" ip link set "p$n" up
      in_host "$host" ip addr add "10.77.0.$n/24" dev eth0
      in_host "$host" ip addr add "fd77::$n/64" dev eth0 nodad
      in_host "$host" ip link set eth0 up
      n=$((n + 1))
    done)");
  heal();
}

TwoHosts::~TwoHosts() {
  leave();
  ::close(home_);
  for (const pid_t holder : holders_) {
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
  }
}

void TwoHosts::run(const std::string& script) const {
  const std::string whole = "set -eu; alpha=" + std::to_string(holders_[0]) + " beta=" + std::to_string(holders_[1]) +
                            " switch=" + std::to_string(holders_[2]) +
                            "; in_host() { who=$1; shift; nsenter --target \"$who\" --net \"$@\"; }\n" + script;
  EXPECT_EQ(std::system(whole.c_str()), 0) << script;
}

void TwoHosts::enter(Host host) const {
  const pid_t holder = holders_.at(host == Host::alpha ? 0 : 1);
  const int fd = ::open(("/proc/" + std::to_string(holder) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(::setns(fd, CLONE_NEWNET), 0);
  ::close(fd);
}

void TwoHosts::leave() const { EXPECT_EQ(::setns(home_, CLONE_NEWNET), 0); }

std::string TwoHosts::address(Host host, bool v6) {
  return std::string(v6 ? "fd77::" : "10.77.0.") + (host == Host::alpha ? "1" : "2");
}

void TwoHosts::cut_partner() { run("in_host \"$switch\" ip link set p2 down"); }
void TwoHosts::cut_own() { run("in_host \"$alpha\" ip link set eth0 down"); }

void TwoHosts::heal() {
  run(R"(
    for p in p1 p2; do in_host "$switch" ip link set "$p" up; done
    for host in "$alpha" "$beta"; do in_host "$host" ip link set eth0 up; done
    # A link that went down took its IPv6 address with it.
    in_host "$alpha" ip addr replace fd77::1/64 dev eth0 nodad
    in_host "$beta" ip addr replace fd77::2/64 dev eth0 nodad
    until in_host "$alpha" ip link show eth0 | grep -q 'LOWER_UP.*state UP'; do sleep 0.01; done)");
  // A path is one when a packet comes back: nobody listens there, and the host says so.
  const int before = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  enter(Host::alpha);
  for (const bool v6 : {false, true}) {
    int tries = 0;
    while (!answers(address(Host::beta, v6)) && tries < 100) ++tries;
    EXPECT_LT(tries, 100) << "no path to " << address(Host::beta, v6);
  }
  EXPECT_EQ(::setns(before, CLONE_NEWNET), 0);
  ::close(before);
}

}  // namespace hapair::ccm
