// A client of ccmd that serves something under a time: it moves that on, as long as nobody tells it not to. It goes on
// when ccmd comes back. What it does is told on standard output, a line a change.
//   watchdog_client SOCKET NAME LEAD_MS
// SIGUSR1: it does not move its time on any more, as if it hung. SIGUSR2: it has stopped all that it serves.
#include <signal.h>
#include <time.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "ccm/client/client.h"

namespace {

using namespace hapair;
using namespace std::chrono_literals;

constexpr Duration kPace = 50ms;
constexpr Duration kPatience = 5s;

enum class Order { move_on, hang, stop };

// The order that came since it was asked last, or the one before.
Order order_after(Order before) {
  sigset_t both;
  ::sigemptyset(&both);
  ::sigaddset(&both, SIGUSR1);
  ::sigaddset(&both, SIGUSR2);
  const timespec at_once{};
  const int signal = ::sigtimedwait(&both, nullptr, &at_once);
  if (signal == SIGUSR1) return Order::hang;
  return signal == SIGUSR2 ? Order::stop : before;
}

void say(const char* what, std::int64_t ms) {
  std::printf("%s %lld\n", what, static_cast<long long>(ms));
  std::fflush(stdout);
}

std::int64_t whole_ms(Duration time) { return time / 1ms; }

ccm::Client connect(const std::string& socket, const std::string& name) {
  while (true) {
    auto client = ccm::Client::connect(socket, name, kPace, kPatience);
    if (client) return std::move(*client);
    std::this_thread::sleep_for(20ms);
  }
}

// True where it is in force.
bool wait_until_taken(ccm::Client& client, std::optional<Instant> wanted) {
  for (int i = 0; i < 200 && client.alive(); ++i) {
    if (client.fed_until_taken() == wanted) return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

void serve(ccm::Client& client, Duration lead, Order& order) {
  const SystemClock clock;
  Instant until;
  bool told = false;
  for (; client.alive(); std::this_thread::sleep_for(kPace)) {
    const Order next = order_after(order);
    if (next != order) {
      order = next;
      if (order == Order::hang) say("hangs-until-ms", whole_ms(until.time_since_epoch()));
      if (order == Order::stop) {
        client.fed_freely();
        say("stopped", wait_until_taken(client, std::nullopt) ? 1 : 0);
      }
    }
    client.beat();
    if (order != Order::move_on) continue;
    until = clock.now() + lead;
    client.fed_until(until);
    if (told || !wait_until_taken(client, until)) continue;
    told = true;
    const auto watchdog = client.watchdog().value_or(ccm::WatchdogStanding{});
    say(watchdog.armed ? "guarded-bound-ms" : "not-guarded", whole_ms(watchdog.bound));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: watchdog_client SOCKET NAME LEAD_MS\n", stderr);
    return 2;
  }
  sigset_t both;
  ::sigemptyset(&both);
  ::sigaddset(&both, SIGUSR1);
  ::sigaddset(&both, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &both, nullptr);
  Order order = Order::move_on;
  while (true) {
    ccm::Client client = connect(argv[1], argv[2]);
    serve(client, std::chrono::milliseconds(std::atoi(argv[3])), order);
  }
}
