// The partner's status page, as it is read: by the CCM, by the agent, and by a handshake that it must not move without
// the pair's key.
//   byte 0: bit 0 the checksum is put right; the rest is the page, filled up with zeros
#include <vector>

#include "ccm/base/crc32c.h"
#include "ccm/handshake/handshake.h"
#include "ccm/wire/status_page.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/machine.h"

using namespace hapair;
using namespace hapair::ccm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool right = input.byte() % 2 == 1;
  const auto bytes = input.rest();
  (void)parse_status_head(bytes);
  (void)parse_status_page(bytes);
  (void)layouts_of(bytes);
  std::vector<std::byte> page(bytes.begin(), bytes.end());
  page.resize(kPageBytes);
  if (right) {
    const std::uint32_t crc = crc32c(std::span(page).subspan(offsetof(StatusPageLayout, layout_min)));
    std::memcpy(page.data() + offsetof(StatusPageLayout, crc), &crc, sizeof crc);
  }
  const auto head = parse_status_head(page);
  const auto view = parse_status_page(page);
  FUZZ_CHECK(head.has_value() == view.has_value());
  if (view) {
    FUZZ_CHECK(right || !bytes.empty());
    FUZZ_CHECK(!view->pair.empty() && !view->node.empty() && view->clients.size() <= kMaxClients);
    for (const ClientView& client : view->clients) FUZZ_CHECK(!client.name.empty() && client.name.size() < 24);
  } else {
    FUZZ_CHECK(head.error() == view.error());
  }
  fuzz::Machine machine;
  machine.read(page);
  machine.check();
  return 0;
}
