#include "ccm/daemon/fabrics.h"

#include <utility>

#include "ccm/fabric/iwarp/iwarp_fabric.h"
#include "ccm/fabric/shm/shm_fabric.h"

namespace hapair::ccm {
namespace {

std::unique_ptr<Fabric> make_fabric(const PairConfig& pair, const RailConfig& rail) {
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
      break;
  }
  return nullptr;
}

}  // namespace

std::expected<std::vector<std::unique_ptr<Fabric>>, std::string> open_fabrics(const PairConfig& config) {
  std::vector<std::unique_ptr<Fabric>> fabrics;
  for (const RailConfig& rail : config.rails) {
    std::unique_ptr<Fabric> fabric = make_fabric(config, rail);
    if (fabric == nullptr) return std::unexpected("rail " + rail.name.text() + ": this build has no such fabric");
    if (auto opened = fabric->open(); !opened) {
      return std::unexpected("rail " + rail.name.text() + ": " + opened.error());
    }
    fabrics.push_back(std::move(fabric));
  }
  return fabrics;
}

}  // namespace hapair::ccm
