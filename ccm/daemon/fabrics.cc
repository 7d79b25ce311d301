#include "ccm/daemon/fabrics.h"

#include <utility>

#include "ccm/fabric/iwarp/iwarp_fabric.h"
#include "ccm/fabric/iwarp/iwarp_port_fabric.h"
#include "ccm/fabric/shm/shm_fabric.h"
#include "ccm/fabric/shm/shm_port_fabric.h"

namespace hapair::ccm {
namespace {

ShmSettings shm_settings(const PairConfig& pair, const RailConfig& rail) {
  return {.dir = rail.dir, .pair = pair.pair, .node = pair.node, .partner = pair.partner};
}

IwarpSettings iwarp_settings(const RailConfig& rail, std::uint16_t port) {
  return {.address = rail.address,
          .partner_address = rail.partner_address,
          .service_port = port,
          .retry_timeout = rail.retry_timeout,
          .crc = rail.crc};
}

std::unique_ptr<Fabric> make_fabric(const PairConfig& pair, const RailConfig& rail) {
  switch (rail.fabric) {
    case FabricKind::shm:
      return std::make_unique<ShmFabric>(shm_settings(pair, rail));
    case FabricKind::iwarp:
      return std::make_unique<IwarpFabric>(iwarp_settings(rail, rail.service_port));
    case FabricKind::verbs:
      break;
  }
  return nullptr;
}

// The ports listen beside the early channel.
std::unique_ptr<PortFabric> make_port_fabric(const PairConfig& pair, const RailConfig& rail) {
  switch (rail.fabric) {
    case FabricKind::shm:
      return std::make_unique<ShmPortFabric>(shm_settings(pair, rail));
    case FabricKind::iwarp:
      return std::make_unique<IwarpPortFabric>(iwarp_settings(rail, static_cast<std::uint16_t>(rail.service_port + 1)));
    case FabricKind::verbs:
      break;
  }
  return nullptr;
}

template <class One, class Make>
std::expected<std::vector<std::unique_ptr<One>>, std::string> open_all(const PairConfig& config, const Make& make) {
  std::vector<std::unique_ptr<One>> fabrics;
  for (const RailConfig& rail : config.rails) {
    std::unique_ptr<One> fabric = make(config, rail);
    if (fabric == nullptr) return std::unexpected("rail " + rail.name.text() + ": this build has no such fabric");
    if (auto opened = fabric->open(); !opened) {
      return std::unexpected("rail " + rail.name.text() + ": " + opened.error());
    }
    fabrics.push_back(std::move(fabric));
  }
  return fabrics;
}

}  // namespace

std::expected<std::vector<std::unique_ptr<Fabric>>, std::string> open_fabrics(const PairConfig& config) {
  return open_all<Fabric>(config, make_fabric);
}

std::expected<std::vector<std::unique_ptr<PortFabric>>, std::string> open_port_fabrics(const PairConfig& config) {
  return open_all<PortFabric>(config, make_port_fabric);
}

}  // namespace hapair::ccm
