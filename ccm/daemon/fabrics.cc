#include "ccm/daemon/fabrics.h"

#include <utility>

#include "ccm/fabric/iwarp/iwarp_fabric.h"
#include "ccm/fabric/iwarp/iwarp_port_fabric.h"
#include "ccm/fabric/shm/shm_fabric.h"
#include "ccm/fabric/shm/shm_port_fabric.h"
#include "ccm/fabric/traced_fabric.h"
#include "ccm/fabric/verbs/verbs_fabric.h"
#include "ccm/fabric/verbs/verbs_port_fabric.h"

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

VerbsSettings verbs_settings(const RailConfig& rail, std::size_t number, std::uint16_t port) {
  return {.address = rail.address,
          .partner_address = rail.partner_address,
          .service_port = port,
          .retry_timeout = rail.retry_timeout,
          .ack_timeout_exponent = rail.ack_timeout,
          .retry_count = rail.retry_count,
          .rail = static_cast<std::uint8_t>(number)};
}

std::unique_ptr<Fabric> make_fabric(const PairConfig& pair, std::size_t number) {
  const RailConfig& rail = pair.rails[number];
  switch (rail.fabric) {
    case FabricKind::shm:
      return std::make_unique<ShmFabric>(shm_settings(pair, rail));
    case FabricKind::iwarp:
      return std::make_unique<IwarpFabric>(iwarp_settings(rail, rail.service_port));
    case FabricKind::verbs:
      return std::make_unique<VerbsFabric>(verbs_settings(rail, number, rail.service_port));
  }
  return nullptr;
}

// The ports listen beside the early channel.
std::unique_ptr<PortFabric> make_port_fabric(const PairConfig& pair, std::size_t number) {
  const RailConfig& rail = pair.rails[number];
  const auto port = static_cast<std::uint16_t>(rail.service_port + 1);
  switch (rail.fabric) {
    case FabricKind::shm:
      return std::make_unique<ShmPortFabric>(shm_settings(pair, rail));
    case FabricKind::iwarp:
      return std::make_unique<IwarpPortFabric>(iwarp_settings(rail, port));
    case FabricKind::verbs:
      return std::make_unique<VerbsPortFabric>(verbs_settings(rail, number, port));
  }
  return nullptr;
}

std::string partner_of(const PairConfig& pair, const RailConfig& rail) {
  if (rail.fabric == FabricKind::shm) return pair.partner.text() + " in " + rail.dir;
  return rail.partner_address + " port " + std::to_string(rail.service_port);
}

template <class One, class Make>
std::expected<std::vector<std::unique_ptr<One>>, std::string> open_all(const PairConfig& config, const Make& make) {
  std::vector<std::unique_ptr<One>> fabrics;
  for (std::size_t number = 0; number < config.rails.size(); ++number) {
    std::unique_ptr<One> fabric = make(config, number);
    if (auto opened = fabric->open(); !opened) {
      return std::unexpected("rail " + config.rails[number].name.text() + ": " + opened.error());
    }
    fabrics.push_back(std::move(fabric));
  }
  return fabrics;
}

}  // namespace

std::expected<std::vector<std::unique_ptr<Fabric>>, std::string> open_fabrics(const PairConfig& config, bool trace) {
  return open_all<Fabric>(config, [trace](const PairConfig& pair, std::size_t number) {
    std::unique_ptr<Fabric> fabric = make_fabric(pair, number);
    const RailConfig& rail = pair.rails[number];
    if (trace) fabric = std::make_unique<TracedFabric>(std::move(fabric), rail.name.text(), partner_of(pair, rail));
    return fabric;
  });
}

std::expected<std::vector<std::unique_ptr<PortFabric>>, std::string> open_port_fabrics(const PairConfig& config) {
  return open_all<PortFabric>(config, make_port_fabric);
}

}  // namespace hapair::ccm
