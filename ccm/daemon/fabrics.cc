#include "ccm/daemon/fabrics.h"

#include <utility>

#include "ccm/fabric/iwarp/iwarp_fabric.h"
#include "ccm/fabric/shm/shm_fabric.h"
#include "ccm/fabric/traced_fabric.h"
#include "ccm/fabric/verbs/verbs_fabric.h"

namespace hapair::ccm {
namespace {

std::unique_ptr<Fabric> make_fabric(const PairConfig& pair, std::size_t number) {
  const RailConfig& rail = pair.rails[number];
  switch (rail.fabric) {
    case FabricKind::shm:
      return std::make_unique<ShmFabric>(
          ShmSettings{.dir = rail.dir, .pair = pair.pair, .node = pair.node, .partner = pair.partner});
    case FabricKind::iwarp:
      return std::make_unique<IwarpFabric>(IwarpSettings{.address = rail.address,
                                                         .partner_address = rail.partner_address,
                                                         .service_port = rail.service_port,
                                                         .retry_timeout = rail.retry_timeout,
                                                         .crc = rail.crc});
    case FabricKind::verbs:
      return std::make_unique<VerbsFabric>(VerbsSettings{.address = rail.address,
                                                         .partner_address = rail.partner_address,
                                                         .service_port = rail.service_port,
                                                         .retry_timeout = rail.retry_timeout,
                                                         .ack_timeout_exponent = rail.ack_timeout,
                                                         .retry_count = rail.retry_count,
                                                         .rail = static_cast<std::uint8_t>(number)});
  }
  return nullptr;
}

std::string partner_of(const PairConfig& pair, const RailConfig& rail) {
  if (rail.fabric == FabricKind::shm) return pair.partner.text() + " in " + rail.dir;
  return rail.partner_address + " port " + std::to_string(rail.service_port);
}

}  // namespace

std::expected<std::vector<std::unique_ptr<Fabric>>, std::string> open_fabrics(const PairConfig& config, bool trace) {
  std::vector<std::unique_ptr<Fabric>> fabrics;
  for (std::size_t number = 0; number < config.rails.size(); ++number) {
    const RailConfig& rail = config.rails[number];
    std::unique_ptr<Fabric> fabric = make_fabric(config, number);
    if (trace) fabric = std::make_unique<TracedFabric>(std::move(fabric), rail.name.text(), partner_of(config, rail));
    if (auto opened = fabric->open(); !opened) {
      return std::unexpected("rail " + rail.name.text() + ": " + opened.error());
    }
    fabrics.push_back(std::move(fabric));
  }
  return fabrics;
}

}  // namespace hapair::ccm
