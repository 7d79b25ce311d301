#include "ccm/daemon/client_registry.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <optional>
#include <string>
#include <thread>

#include "ccm/client/client.h"
#include "ccm/watchdog/feed.h"
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

class Times final : public FedUntilTaker {
 public:
  bool take(const ClientName& name, std::int64_t until_ns) override { return !full && feed.take(name, until_ns); }
  [[nodiscard]] std::int64_t standing(const ClientName& name) const override { return feed.standing(name); }

  bool full = false;
  std::array<FedUntilEntry, kMaxClients> table{};
  WatchdogFeed feed{table};
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
  // What the sockets have to tell, as that a client is gone.
  void listen() {
    std::array<epoll_event, 4> events{};
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 10'000);
    for (int i = 0; i < count; ++i) registry_.handle(events.at(static_cast<std::size_t>(i)).data.fd, 0);
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
  Times times_;
  Fd epoll_;
  ClientRegistry registry_{Incarnation(1), random_, phases_, ports_, times_};
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

TEST_F(ClientRegistryTest, UntilWhenAClientWantsTheWatchdogFedIsTakenAtABeatAndConfirmed) {
  auto client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  registry_.take_fed_until();
  EXPECT_FALSE(times_.feed.first()) << "it has said nothing";
  client->fed_until(Instant(seconds(60)));
  EXPECT_FALSE(client->fed_until_taken()) << "not in force before the CCM has it";
  registry_.take_fed_until();
  ASSERT_TRUE(times_.feed.first());
  EXPECT_EQ(name_in(times_.feed.first()->name), "server");
  EXPECT_EQ(times_.feed.first()->until_ns, ns_of(Instant(seconds(60))));
  EXPECT_EQ(client->fed_until_taken(), Instant(seconds(60)));
  client->fed_freely();
  EXPECT_EQ(client->fed_until_taken(), Instant(seconds(60))) << "still in force";
  registry_.take_fed_until();
  EXPECT_FALSE(times_.feed.first());
  EXPECT_FALSE(client->fed_until_taken());
}

TEST_F(ClientRegistryTest, WhatCouldNotBeTakenIsNotConfirmed) {
  auto client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  times_.full = true;
  client->fed_until(Instant(seconds(60)));
  registry_.take_fed_until();
  EXPECT_FALSE(client->fed_until_taken());
}

TEST_F(ClientRegistryTest, ATimeBeforeTheBootIsStillATime) {
  auto client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  client->fed_until(Instant(-seconds(1)));
  registry_.take_fed_until();
  EXPECT_TRUE(times_.feed.overdue(Instant(milliseconds(1))));
}

TEST_F(ClientRegistryTest, AClientThatDiesLeavesItsTimeAndItsNextLifeTakesOverWithItsFirstWord) {
  auto client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  client->fed_until(Instant(seconds(60)));
  registry_.take_fed_until();
  client.reset();
  listen();
  registry_.take_fed_until();
  ASSERT_TRUE(times_.feed.first());
  client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  EXPECT_EQ(client->fed_until_taken(), Instant(seconds(60))) << "it is told what stands for it";
  registry_.take_fed_until();
  ASSERT_TRUE(times_.feed.first()) << "that it is back says nothing of what it served";
  EXPECT_EQ(client->fed_until_taken(), Instant(seconds(60)));
  EXPECT_EQ(times_.feed.first()->until_ns, ns_of(Instant(seconds(60))));
  client->fed_until(Instant(seconds(70)));
  registry_.take_fed_until();
  EXPECT_EQ(times_.feed.first()->until_ns, ns_of(Instant(seconds(70))));
}

TEST_F(ClientRegistryTest, WhatTheAgentSaidOfAPoisonCountsAlsoWhereItWasGoneBeforeTheNextBeat) {
  auto agent = connect(kAgentClientName, milliseconds(10));
  ASSERT_TRUE(agent);
  (void)agent->ask_for_poison(false);
  agent->poison_obeyed(3);
  agent->leave();
  agent.reset();
  listen();
  EXPECT_EQ(registry_.poison_words().stopped, 3U);
  EXPECT_EQ(registry_.poison_words().asked, 0U) << "and nobody waits for an answer any more";
}

TEST_F(ClientRegistryTest, TheLastWordOfAClientCountsAlsoWhereItWasGoneBeforeTheNextBeat) {
  auto client = connect("server", milliseconds(40));
  ASSERT_TRUE(client);
  client->fed_until(Instant(seconds(60)));
  registry_.take_fed_until();
  client->fed_freely();
  client->leave();
  client.reset();
  listen();
  EXPECT_FALSE(times_.feed.first());
}

}  // namespace
}  // namespace hapair::ccm
