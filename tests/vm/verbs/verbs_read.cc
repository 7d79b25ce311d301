// One-sided reads of the status page as a CCM makes them, one at a time, timed.
//
// usage: verbs_read serve OWN_ADDRESS PARTNER_ADDRESS          until it is ended
//        verbs_read read OWN_ADDRESS PARTNER_ADDRESS COUNT     minimum, median and maximum in microseconds
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "ccm/fabric/verbs/verbs_fabric.h"

namespace hapair::ccm {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);

VerbsSettings settings(char** addresses) {
  return {.address = addresses[0],
          .partner_address = addresses[1],
          .retry_timeout = std::chrono::milliseconds(500),
          .ack_timeout_exponent = 14,
          .retry_count = 6};
}

// Polls without a pause, as the tool that it is compared with does.
std::optional<FabricEvent> next_event(VerbsFabric& fabric, const SystemClock& clock) {
  const Instant until = clock.now() + kPatience;
  std::array<FabricEvent, 1> events;
  while (fabric.poll(clock.now(), events) == 0) {
    if (clock.now() > until) return std::nullopt;
  }
  return events[0];
}

int serve(VerbsFabric& fabric) {
  const SystemClock clock;
  std::array<FabricEvent, 4> events;
  std::puts("serves");
  std::fflush(stdout);
  while (true) {
    pollfd ready{fabric.poll_fd(), POLLIN, 0};
    (void)::poll(&ready, 1, 100);
    (void)fabric.poll(clock.now(), events);
  }
}

int read(VerbsFabric& fabric, std::size_t count) {
  const SystemClock clock;
  fabric.connect(clock.now());
  const auto connected = next_event(fabric, clock);
  if (!connected || connected->kind != FabricEvent::Kind::connected) {
    std::fputs("verbs_read: no connection\n", stderr);
    return 1;
  }
  std::array<std::byte, kPageBytes> page{};
  std::vector<double> took;
  for (std::size_t i = 0; i < count; ++i) {
    const Instant began = clock.now();
    if (!fabric.post_read(began, OperationId(i), RemotePage::status, 0, page)) return 1;
    const auto done = next_event(fabric, clock);
    if (!done || done->error != FabricError::none) {
      std::fprintf(stderr, "verbs_read: read %zu failed\n", i);
      return 1;
    }
    took.push_back(ms_of(clock.now() - began) * 1000);
  }
  std::ranges::sort(took);
  std::printf("%.1f %.1f %.1f\n", took.front(), took[took.size() / 2], took.back());
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  using namespace hapair::ccm;
  const bool serves = argc == 4 && std::strcmp(argv[1], "serve") == 0;
  if (!serves && (argc != 5 || std::strcmp(argv[1], "read") != 0 || std::atoi(argv[4]) <= 0)) {
    std::fputs("usage: verbs_read serve OWN PARTNER | verbs_read read OWN PARTNER COUNT\n", stderr);
    return 2;
  }
  VerbsFabric fabric(settings(argv + 2));
  const auto opened = fabric.open();
  if (!opened || !fabric.trouble().empty()) {
    std::fprintf(stderr, "verbs_read: %s\n", opened ? std::string(fabric.trouble()).c_str() : opened.error().c_str());
    return 1;
  }
  return serves ? serve(fabric) : read(fabric, static_cast<std::size_t>(std::atoi(argv[4])));
}
