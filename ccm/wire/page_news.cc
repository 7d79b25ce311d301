#include "ccm/wire/page_news.h"

#include <cstring>
#include <utility>

namespace hapair::ccm {

bool PageNews::take(std::span<const std::byte, kPageBytes> page) {
  StatusPageLayout here;
  std::memcpy(&here, page.data(), sizeof here);
  const bool stands = std::exchange(beat_, here.ccm_beat) == here.ccm_beat;
  here.sequence = here.crc = 0;
  here.ccm_beat = here.phase_since_ms = 0;
  here.page_mac = {};
  for (ClientSlotLayout& client : here.clients) {
    client.beat = client.completed = 0;
    client.outstanding = 0;
  }
  const bool same = std::memcmp(last_.data(), &here, sizeof here) == 0;
  if (!same) std::memcpy(last_.data(), &here, sizeof here);
  const bool first = !std::exchange(known_, true);
  const bool stood = std::exchange(stood_, stands);
  return first || stands || stood || !same;
}

}  // namespace hapair::ccm
