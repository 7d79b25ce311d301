#include "heartbeat/observed.h"

#include <span>
#include <utility>

namespace hapair::heartbeat {

Observation observed(const ccm::ObservationLayout& raw) {
  Observation seen;
  seen.when = instant_of_ns(raw.when_ns);
  seen.rail = RailId(raw.channel);
  seen.network = NetworkId(raw.channel);
  seen.kind = static_cast<ccm::ObservationKind>(raw.kind);
  seen.error = static_cast<ccm::FabricError>(raw.error);
  seen.proof = raw.proof <= static_cast<std::uint8_t>(ccm::PageProof::session) ? static_cast<ccm::PageProof>(raw.proof)
                                                                               : ccm::PageProof::none;
  if (seen.kind == ccm::ObservationKind::beat) {
    if (const auto beat = ccm::parse_beat(std::as_bytes(std::span(raw.page)).first(ccm::kBeatBytes))) seen.beat = *beat;
    return seen;
  }
  if (seen.kind != ccm::ObservationKind::page) return seen;
  auto page = ccm::parse_status_page(std::as_bytes(std::span(raw.page)));
  if (page) {
    seen.page = std::move(*page);
  } else {
    seen.kind = ccm::ObservationKind::unreadable;
  }
  return seen;
}

}  // namespace hapair::heartbeat
