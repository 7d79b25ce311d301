#include "ccm/daemon/client_registry.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <optional>
#include <string>
#include <thread>

#include "ccm/client/client.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class NoPhases final : public PhaseSetter {
 public:
  ClientRefusal set_phase(BootPhase) override { return ClientRefusal::none; }
};

class NoPorts final : public PortRequests {
 public:
  ClientRefusal request(const PortRequest&, PortLimits&) override { return ClientRefusal::port_count; }
  void ended(std::uint8_t) override {}
};

// A registry that beats every 10 ms, by the test's own time, and real clients of it.
class ClientRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    ASSERT_TRUE(registry_.open(folder_ / "ccm.sock", epoll_.get()));
  }

  std::optional<Client> connect(std::string_view name, Duration pace) {
    std::optional<Client> client;
    bool done = false;
    std::thread connecting([&] {
      auto connected = Client::connect(folder_ / "ccm.sock", name, pace, seconds(10));
      if (connected) client = std::move(*connected);
      std::atomic_ref(done).store(true);
    });
    while (!std::atomic_ref(done).load()) {
      std::array<epoll_event, 4> events{};
      const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 10);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events.at(static_cast<std::size_t>(i));
        registry_.handle(event.data.fd, event.events);
      }
    }
    connecting.join();
    return client;
  }
  void beat(bool news) {
    now_ += kTurn;
    ObservationLayout seen{};
    registry_.observations().write(seen);
    registry_.wake_clients(now_, kTurn, news);
  }
  static bool woken(Client& client) {
    pollfd event{client.event_fd(), POLLIN, 0};
    if (::poll(&event, 1, 0) != 1) return false;
    client.acknowledge_events();
    return true;
  }

  static constexpr Duration kTurn = milliseconds(10);
  TempFolder folder_;
  SystemRandom random_;
  NoPhases phases_;
  NoPorts ports_;
  Fd epoll_;
  ClientRegistry registry_{Incarnation(1), random_, phases_, ports_};
  Instant now_ = Instant(seconds(50));
};

TEST_F(ClientRegistryTest, WakesAClientAtItsPaceWhileThereIsNoNews) {
  auto client = connect("slow", milliseconds(40));
  ASSERT_TRUE(client);
  beat(false);
  EXPECT_TRUE(woken(*client)) << "the first it can see";
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) {
      beat(false);
      EXPECT_FALSE(woken(*client));
    }
    beat(false);
    EXPECT_TRUE(woken(*client));
    ObservationLayout seen{};
    int got = 0;
    while (client->next(seen)) ++got;
    EXPECT_EQ(got, round == 0 ? 5 : 4) << "none is lost";
  }
}

TEST_F(ClientRegistryTest, WakesEverybodyForNews) {
  auto slow = connect("slow", seconds(1));
  auto looker = connect("looker", Duration{});
  ASSERT_TRUE(slow && looker);
  beat(false);
  EXPECT_TRUE(woken(*slow) && woken(*looker));
  beat(false);
  EXPECT_FALSE(woken(*slow));
  EXPECT_TRUE(woken(*looker)) << "one without a pace looks each time";
  beat(true);
  EXPECT_TRUE(woken(*slow) && woken(*looker));
}

TEST_F(ClientRegistryTest, WakesNobodyWhereNothingWasObserved) {
  auto client = connect("looker", Duration{});
  ASSERT_TRUE(client);
  beat(false);
  EXPECT_TRUE(woken(*client));
  registry_.wake_clients(now_ += seconds(1), kTurn, true);
  EXPECT_FALSE(woken(*client));
}

TEST_F(ClientRegistryTest, ASlowClientIsWokenBeforeTheRingOverflows) {
  auto client = connect("slow", seconds(3600));
  ASSERT_TRUE(client);
  ObservationLayout seen{};
  for (std::size_t i = 0; i < 4 * kObservationSlots; ++i) {
    beat(false);
    if (!woken(*client)) continue;
    while (client->next(seen)) {
    }
  }
  EXPECT_EQ(client->missed(), 0U);
  EXPECT_GT(seen.serial, 3 * kObservationSlots);
}

}  // namespace
}  // namespace hapair::ccm
