// Writes down when a node's CCM looked at its partner's page and whether the partner's beat had moved: what a detector
// has to go by, for tests/bench/detector-choice.
#include <poll.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "ccm/client/client.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

// One line a look: when (ns), the beat that was read (0: none), so late our own CCM was (us).
int record(const char* socket, double seconds) {
  auto client = Client::connect(socket, "arrivals", Duration{}, std::chrono::seconds(5));
  if (!client) {
    std::fprintf(stderr, "detector_arrivals: %s\n", client.error().text.c_str());
    return 1;
  }
  const SystemClock clock;
  const Instant end = clock.now() + std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  ObservationLayout seen{};
  while (clock.now() < end) {
    pollfd news{client->event_fd(), POLLIN, 0};
    (void)::poll(&news, 1, 100);
    client->acknowledge_events();
    while (client->next(seen)) {
      const auto kind = static_cast<ObservationKind>(seen.kind);
      if (kind == ObservationKind::beat) continue;
      std::uint64_t beat = 0;
      if (kind == ObservationKind::page) {
        const auto page = parse_status_page(std::as_bytes(std::span(seen.page)));
        if (page) beat = page->ccm_beat;
      }
      std::printf("%lld %llu %u\n", static_cast<long long>(seen.when_ns), static_cast<unsigned long long>(beat),
                  seen.late_us);
    }
  }
  client->leave();
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: detector_arrivals SOCKET SECONDS\n", stderr);
    return 2;
  }
  return hapair::ccm::record(argv[1], std::atof(argv[2]));
}
