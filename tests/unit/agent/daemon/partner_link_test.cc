#include "agent/daemon/partner_link.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <vector>

#include "ccm/daemon/client_registry.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/status_page.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;

class NoPhases final : public ccm::PhaseSetter {
 public:
  ccm::ClientRefusal set_phase(ccm::BootPhase) override { return ccm::ClientRefusal::none; }
};

class NoPorts final : public ccm::PortRequests {
 public:
  ccm::ClientRefusal request(const ccm::PortRequest&, ccm::PortLimits&) override {
    return ccm::ClientRefusal::port_count;
  }
  void ended(std::uint8_t) override {}
};

class NoWatchdog final : public ccm::FedUntilTaker {
 public:
  bool take(const ccm::ClientName&, std::int64_t) override { return true; }
  [[nodiscard]] std::int64_t standing(const ccm::ClientName&) const override { return 0; }
};

// One look at the partner, whose agent has published `serial`, with what its page proves.
ccm::ObservationLayout look(std::uint64_t serial, ccm::PageProof proof) {
  std::array<std::byte, ccm::kPageBytes> memory{};
  ccm::StatusPublisher page(memory);
  ccm::put_name(page.draft().pair, "pair");
  ccm::put_name(page.draft().node, "beta");
  page.draft().incarnation = 5;
  page.draft().agent.serial = serial;
  page.draft().agent.agent_life = 1;
  page.publish(std::nullopt);
  ccm::ObservationLayout seen{};
  seen.kind = static_cast<std::uint32_t>(ccm::ObservationKind::page);
  seen.proof = static_cast<std::uint8_t>(proof);
  std::memcpy(seen.page.data(), memory.data(), memory.size());
  return seen;
}

constexpr ccm::PoisonOrder kOrder{Incarnation(70), 3};

// The clients' side of a CCM, in a process of its own. It tells its first client the `looks`, one a turn; where it is
// `poisoned`, it takes the partner's order after the first.
[[noreturn]] void serve(const std::string& socket, const std::vector<ccm::ObservationLayout>& looks, int ready,
                        bool poisoned = false) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ccm::SystemRandom random;
  NoPhases phases;
  NoPorts ports;
  NoWatchdog watchdog;
  ccm::ClientRegistry registry(Incarnation(1), random, phases, ports, watchdog);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (!registry.open(socket, epoll) || ::write(ready, "r", 1) != 1) ::_exit(1);
  ccm::StatusPageLayout page{};
  std::size_t told = 0;
  while (true) {
    std::array<epoll_event, 8> events{};
    const int count = ::epoll_wait(epoll, events.data(), events.size(), 5);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      registry.handle(event.data.fd, event.events);
    }
    registry.copy_to(page);
    const bool registered = page.clients[0].state == static_cast<std::uint8_t>(ccm::ClientState::registered);
    if (!registered || told == looks.size()) continue;
    ccm::ObservationLayout seen = looks[told++];
    if (poisoned && told == 2) {
      ccm::CcmSelfLayout self{};
      self.poison.number = 1;
      self.poison.from_incarnation = kOrder.from.value();
      self.poison.serial = kOrder.serial;
      self.poison.accepted_at_ns = ns_of(SystemClock().now());
      self.poison.state = static_cast<std::uint8_t>(ccm::PoisonState::accepted);
      registry.observations().write_self(self);
    }
    registry.observations().write(seen);
    registry.wake_clients(SystemClock().now(), milliseconds(10), true);
  }
}

class Listener final : public PartnerLinkListener {
 public:
  void partner_assessed(const heartbeat::Assessment&) override {}
  void partner_published(const ccm::AgentBlockLayout& block, const BootId& boot_id, const std::string&, bool) override {
    boots.push_back(boot_id);
    serials.push_back(block.serial);
  }
  void partner_heard(bool, const std::string&) override {}
  void partner_seen(const heartbeat::Sighting& sighting) override { sightings.push_back(sighting); }
  [[nodiscard]] bool partner_sighting_wanted() const override { return false; }
  void came_late() override { ++late; }
  int late = 0;
  std::vector<heartbeat::Sighting> sightings;
  std::vector<BootId> boots;
  void watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) override {
    standings.push_back(standing);
    fed = fed_until;
  }
  std::vector<ccm::WatchdogStanding> standings;
  std::optional<Instant> fed;
  void own_ccm_changed(bool, const std::string&) override {}
  void poisoned(const ccm::PoisonOrder& order) override { orders.push_back(order); }
  void poison_over(const ccm::PoisonOrder& order) override { ended.push_back(order); }
  std::vector<ccm::PoisonOrder> orders;
  std::vector<ccm::PoisonOrder> ended;
  std::vector<std::uint64_t> serials;
};

TEST(PartnerLink, BelievesWhatIsSaidOfPoolsOnlyUnderTheSessionsMac) {
  const test::TempFolder folder;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t ccm = ::fork();
  if (ccm == 0) {
    using ccm::PageProof;
    serve(folder / "ccm.sock",
          {look(7, PageProof::none), look(8, PageProof::handshake), look(9, PageProof::session),
           look(10, PageProof::handshake), look(11, PageProof::session)},
          ready[1]);
  }
  ::close(ready[1]);
  char said = 0;
  ASSERT_EQ(::read(ready[0], &said, 1), 1);
  ::close(ready[0]);
  {
    test::EventLoop loop;
    const SystemClock clock;
    Listener listener;
    PartnerLink link(loop.get(), clock, folder / "ccm.sock",
                     {milliseconds(10), milliseconds(30), milliseconds(60), milliseconds(500)}, listener);
    link.start();
    EXPECT_TRUE(loop.run_until([&] { return !listener.serials.empty() && listener.serials.back() == 11; }));
    EXPECT_EQ(listener.serials, (std::vector<std::uint64_t>{9, 11}));
    EXPECT_EQ(listener.boots.size(), 2U);
    EXPECT_EQ(listener.sightings.size(), 1U) << "of two pages that carry the MAC and show one place";
    EXPECT_GE(listener.late, 1) << "what it was told was seen when this machine started";
    EXPECT_GT(link.take_latest(), milliseconds(30));
    EXPECT_EQ(link.take_latest(), Duration{}) << "since it was asked last";
    link.leave();
  }
  ::kill(ccm, SIGKILL);
  ::waitpid(ccm, nullptr, 0);
}

TEST(PartnerLink, TellsNoBlockThatWasReadBeforeThePoisonThatStands) {
  const test::TempFolder folder;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t ccm = ::fork();
  if (ccm == 0) {
    using ccm::PageProof;
    ccm::ObservationLayout after = look(9, PageProof::session);
    after.posted_ns = ns_of(SystemClock().now() + std::chrono::hours(1));
    serve(folder / "ccm.sock", {look(7, PageProof::session), look(8, PageProof::session), after}, ready[1], true);
  }
  ::close(ready[1]);
  char said = 0;
  ASSERT_EQ(::read(ready[0], &said, 1), 1);
  ::close(ready[0]);
  {
    test::EventLoop loop;
    const SystemClock clock;
    Listener listener;
    PartnerLink link(loop.get(), clock, folder / "ccm.sock",
                     {milliseconds(10), milliseconds(30), milliseconds(60), milliseconds(500)}, listener);
    link.start();
    EXPECT_TRUE(loop.run_until([&] { return !listener.serials.empty() && listener.serials.back() == 9; }));
    EXPECT_EQ(std::ranges::count(listener.serials, 8U), 0) << "it was read before the order was taken";
    EXPECT_EQ(listener.orders, std::vector<ccm::PoisonOrder>{kOrder});
    link.leave();
  }
  ::kill(ccm, SIGKILL);
  ::waitpid(ccm, nullptr, 0);
}

}  // namespace
}  // namespace hapair::agent
