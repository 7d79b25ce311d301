#include "ccm/daemon/network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>

#include "ccm/base/fd.h"
#include "ccm/wire/mac.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One that nobody has; what takes it meanwhile fails the test.
std::uint16_t free_port() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  (void)::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length);
  (void)::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

// One end of a network that beats every other beat of the CCM.
struct End {
  End(const char* node, const char* partner, const char* address, const char* partner_address, std::uint16_t port)
      : network(config_of(address, partner_address, port), identity_of(node, partner),
                Key::from_secret(std::array<std::byte, 32>{}), milliseconds(10)),
        writer(*ring) {}
  static NetworkConfig config_of(const char* address, const char* partner_address, std::uint16_t port) {
    NetworkConfig config;
    config.name = *NetworkName::parse("mgmt");
    config.address = address;
    config.partner_address = partner_address;
    config.port = port;
    config.pace = milliseconds(20);
    return config;
  }
  static BeatIdentity identity_of(const char* node, const char* partner) {
    BeatIdentity identity;
    identity.pair = *PairName::parse("pair");
    identity.node = *NodeName::parse(node);
    identity.partner = *NodeName::parse(partner);
    identity.incarnation = Incarnation(node[0] == 'a' ? 1 : 2);
    identity.pace = milliseconds(20);
    return identity;
  }
  void beat(Instant now, bool at_once) {
    network.take(now, Duration{}, writer);
    network.beat(now, {}, {}, at_once);
  }

  Network network;
  std::unique_ptr<ObservationRing> ring = std::make_unique<ObservationRing>();
  ObservationWriter writer;
};

TEST(Network, BeatsAtItsPaceAndAtOnceWhereARailDoesNotShowThePartner) {
  const std::uint16_t port = free_port();
  End alpha("alpha", "beta", "127.0.0.1", "127.0.0.2", port);
  End beta("beta", "alpha", "127.0.0.2", "127.0.0.1", port);
  Instant now = Instant(seconds(50));
  const auto beats = [&](int times, bool at_once) {
    const std::uint64_t before = alpha.network.self().sent;
    for (int i = 0; i < times; ++i) {
      now += milliseconds(10);
      alpha.beat(now, at_once);
      beta.beat(now, false);
    }
    return alpha.network.self().sent - before;
  };
  EXPECT_EQ(beats(10, false), 5U);
  EXPECT_EQ(beats(10, true), 10U);
  EXPECT_EQ(beats(10, false), 5U);
  EXPECT_GT(beta.network.self().heard, 15U);
}

}  // namespace
}  // namespace hapair::ccm
