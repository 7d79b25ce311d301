// Two real ccmd processes on fabric shm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "ccm/base/fd.h"
#include "ccm/fabric/shm/port_file.h"
#include "ccm/fabric/shm/shm_fabric.h"
#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

class Ccmd : public ::testing::Test {
 protected:
  void start_both() {
    alpha_.start();
    beta_.start();
    ASSERT_TRUE(eventually([this] { return connected(); })) << alpha_.log() << beta_.log();
  }
  bool connected() const {
    return alpha_.handshake() == HandshakeState::connected && beta_.handshake() == HandshakeState::connected;
  }

  TempFolder folder_;
  RunningCcmd alpha_{folder_, {.node = "alpha", .partner = "beta"}};
  RunningCcmd beta_{folder_, {.node = "beta", .partner = "alpha"}};
};

// What alpha's clients are told of beta.
class Watcher {
 public:
  explicit Watcher(const RunningCcmd& ccmd)
      : client_(Client::connect(ccmd.socket(), "watcher", Duration{}, std::chrono::seconds(10))) {}
  // Takes observations until one fits.
  bool sees(const std::function<bool(const ObservationLayout&)>& fits) {
    return eventually([&] {
      while (client_ && client_->next(last_)) {
        if (fits(last_)) return true;
      }
      return false;
    });
  }
  bool sees_error(FabricError error) {
    return sees([&](const ObservationLayout& o) {
      return o.kind == static_cast<std::uint32_t>(ObservationKind::failed) &&
             o.error == static_cast<std::uint8_t>(error);
    });
  }
  bool sees_authentic_page() {
    return sees([](const ObservationLayout& o) {
      return o.kind == static_cast<std::uint32_t>(ObservationKind::page) &&
             o.proof == static_cast<std::uint8_t>(PageProof::session);
    });
  }
  std::optional<StatusView> page() const {
    auto view = parse_status_page(std::as_bytes(std::span(last_.page)));
    if (!view) return std::nullopt;
    return *view;
  }

 private:
  std::expected<Client, ClientError> client_;
  ObservationLayout last_{};
};

TEST_F(Ccmd, TwoOfAPairConnectAndReadEachOthersBeats) {
  start_both();
  Watcher watcher(alpha_);
  ASSERT_TRUE(watcher.sees_authentic_page());
  const std::uint64_t beat = watcher.page()->ccm_beat;
  EXPECT_EQ(watcher.page()->node.view(), "beta");
  EXPECT_TRUE(watcher.sees([&](const ObservationLayout&) { return watcher.page()->ccm_beat > beat + 3; }));
  const auto self = alpha_.self();
  ASSERT_TRUE(self);
  EXPECT_EQ(self->rails[0].sessions, 1U);
  EXPECT_GT(self->rails[0].connected_in_us, 0U);
  EXPECT_EQ(self->refused_key + self->refused_identity + self->refused_layout + self->refused_malformed, 0U);
}

TEST_F(Ccmd, BeatsOnWhileNobodyTakesItsLogAndTellsAfterwardsHowMuchOfItIsMissing) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd reads(ends[0]);
  const Fd writes(ends[1]);
  ASSERT_GE(::fcntl(writes.get(), F_SETPIPE_SZ, 4096), 4096);
  ASSERT_EQ(::fcntl(reads.get(), F_SETFL, O_NONBLOCK), 0);
  alpha_.options.log_to = writes.get();
  alpha_.options.trace = true;
  start_both();
  ASSERT_TRUE(connected());
  pollfd room{writes.get(), POLLOUT, 0};
  ASSERT_TRUE(eventually([&] { return ::poll(&room, 1, 0) == 0; })) << "the pipe is full";
  const std::uint64_t beat = alpha_.page()->ccm_beat;
  EXPECT_TRUE(eventually([&] { return alpha_.page()->ccm_beat > beat + 50; })) << "at beat " << beat;
  std::string log;
  EXPECT_TRUE(eventually([&] {
    std::array<char, 4096> part{};
    const ssize_t n = ::read(reads.get(), part.data(), part.size());
    if (n > 0) log.append(part.data(), static_cast<std::size_t>(n));
    return log.find("lines before this one are missing") != std::string::npos;
  }));
}

TEST_F(Ccmd, EveryRailHasAnEarlyChannelOfItsOwn) {
  alpha_.options.rails = beta_.options.rails = 3;
  start_both();
  const auto all_connected = [](const RunningCcmd& node, std::size_t rails) {
    const auto self = node.self();
    if (!self || self->rail_count != 3) return false;
    std::size_t connected = 0;
    for (const RailSelfLayout& rail : self->rails) {
      connected += rail.handshake == static_cast<std::uint8_t>(HandshakeState::connected) ? 1 : 0;
    }
    return connected == rails;
  };
  ASSERT_TRUE(eventually([&] { return all_connected(alpha_, 3) && all_connected(beta_, 3); }));
  const auto self = alpha_.self();
  EXPECT_EQ(name_in(self->rails[1].name), "shm1");
  EXPECT_EQ(name_in(self->rails[1].fabric), "shm");
  EXPECT_GT(self->rails[1].round_trip_mean_ns, 0U);
  EXPECT_GE(self->rails[1].round_trip_max_ns, self->rails[1].round_trip_min_ns);
  // One rail is cut: the others go on, and the cut one says why.
  auto port = PortFile::open(folder_ / "shm1/alpha.port", true);
  ASSERT_TRUE(port && port->hold());
  port->set_link(false);
  EXPECT_TRUE(eventually([&] { return all_connected(alpha_, 2) && all_connected(beta_, 2); }));
  EXPECT_TRUE(eventually([&] {
    const auto now = alpha_.self();
    return now && now->rails[1].last_error == static_cast<std::uint8_t>(FabricError::link_down);
  }));
  EXPECT_EQ(alpha_.self()->handshake, static_cast<std::uint8_t>(HandshakeState::connected));
  port->set_link(true);
  EXPECT_TRUE(eventually([&] { return all_connected(alpha_, 3) && all_connected(beta_, 3); }));
}

TEST_F(Ccmd, AKilledPartnerIsSeenAsNotListening) {
  start_both();
  Watcher watcher(alpha_);
  ASSERT_TRUE(watcher.sees_authentic_page());
  beta_.kill();
  EXPECT_TRUE(watcher.sees_error(FabricError::not_listening));
  EXPECT_EQ(alpha_.handshake(), HandshakeState::searching);
}

TEST_F(Ccmd, AStoppedPartnersPageIsReadableAndItsBeatsStand) {
  start_both();
  beta_.signal(SIGSTOP);
  ASSERT_TRUE(eventually([this] {
    const auto first = beta_.page();
    const auto second = beta_.page();
    return first && second && first->ccm_beat == second->ccm_beat;
  }));
  Watcher watcher(alpha_);
  // Many reads, one beat: the first ones may still be of before the stop.
  std::uint64_t beat = 0;
  int same = 0;
  EXPECT_TRUE(watcher.sees([&](const ObservationLayout& o) {
    if (o.kind != static_cast<std::uint32_t>(ObservationKind::page) ||
        o.proof != static_cast<std::uint8_t>(PageProof::session))
      return false;
    same = watcher.page()->ccm_beat == beat ? same + 1 : 0;
    beat = watcher.page()->ccm_beat;
    return same == 20;
  }));
  EXPECT_EQ(alpha_.handshake(), HandshakeState::connected) << "its memory answers: the session stands";
  beta_.signal(SIGCONT);
  EXPECT_TRUE(watcher.sees([&](const ObservationLayout&) { return watcher.page()->ccm_beat > beat; }));
}

TEST_F(Ccmd, ARestartedPartnerIsANewIncarnationAndConnectsAgain) {
  start_both();
  const auto before = beta_.page()->incarnation;
  beta_.kill();
  beta_.start();
  ASSERT_TRUE(eventually([&] { return connected() && beta_.page()->incarnation != before; }));
  EXPECT_TRUE(eventually([this] {
    const auto self = alpha_.self();
    return self && self->rails[0].sessions == 2;
  }));
  EXPECT_EQ(alpha_.self()->refused_stale, 0U) << "what an ended session leaves behind is no refusal";
}

TEST_F(Ccmd, RefusalsAreToldOnceASession) {
  const auto refused = [this] { return alpha_.self().value_or(CcmSelfLayout{}).refused_key; };
  const auto told = [this] {
    const std::string log = alpha_.log();
    int count = 0;
    for (std::size_t at = log.find("(key)"); at != std::string::npos; at = log.find("(key)", at + 1)) ++count;
    return count;
  };
  const std::string right = beta_.options.key;
  const auto another_life_of_beta = [&](const std::string& key) {
    beta_.kill();
    beta_.options.key = key;
    beta_.start();
  };
  start_both();
  for (int session = 0; session < 2; ++session) {
    for (int life = 0; life < 3; ++life) {
      const auto before = refused();
      another_life_of_beta("ffffffffffffffffffffffffffffffff");
      ASSERT_TRUE(eventually([&] { return refused() > before; }));
    }
    EXPECT_EQ(told(), session + 1) << alpha_.log();
    another_life_of_beta(right);
    ASSERT_TRUE(eventually([this] { return connected(); }));
  }
}

TEST_F(Ccmd, AnotherKeyIsRefusedAndSaid) {
  beta_.options.key = "ffffffffffffffffffffffffffffffff";
  alpha_.start();
  beta_.start();
  ASSERT_TRUE(eventually([this] {
    return alpha_.handshake() == HandshakeState::refused && beta_.handshake() == HandshakeState::refused;
  }));
  EXPECT_TRUE(eventually([this] { return alpha_.self().value_or(CcmSelfLayout{}).refused_key == 1; }));
  EXPECT_EQ(alpha_.self()->rails[0].sessions, 0U);
  EXPECT_NE(alpha_.log().find("does not hold this pair's key"), std::string::npos) << alpha_.log();
  // The operator repairs the key: no restart of alpha is needed.
  beta_.options.key = alpha_.options.key;
  beta_.start();
  EXPECT_TRUE(eventually([this] { return connected(); }));
}

TEST_F(Ccmd, AnotherPairIsRefusedByName) {
  beta_.options.pair = "other";
  alpha_.start();
  beta_.start();
  ASSERT_TRUE(eventually([this] { return alpha_.handshake() == HandshakeState::refused; }));
  EXPECT_TRUE(eventually([this] { return alpha_.self().value_or(CcmSelfLayout{}).refused_identity == 1; }));
  const auto self = alpha_.self();
  EXPECT_EQ(name_in(self->refused_pair), "other");
  EXPECT_EQ(name_in(self->refused_node), "beta");
  EXPECT_EQ(self->rails[0].sessions, 0U);
}

TEST_F(Ccmd, APartnerWithoutALayoutInCommonIsRefusedWithItsRange) {
  alpha_.start();
  ShmFabric newer({.dir = folder_ / "shm",
                   .pair = *PairName::parse("pair"),
                   .node = *NodeName::parse("beta"),
                   .partner = *NodeName::parse("alpha")});
  ASSERT_TRUE(newer.open());
  StatusPublisher publisher(newer.status_memory());
  publisher.draft().layout_min = 7;
  publisher.draft().layout_max = 9;
  publisher.publish(std::nullopt);
  ASSERT_TRUE(eventually([this] { return alpha_.handshake() == HandshakeState::refused; }));
  EXPECT_TRUE(eventually([this] { return alpha_.self().value_or(CcmSelfLayout{}).refused_layout == 1; }));
  EXPECT_EQ(alpha_.self()->refused_layout_min, 7);
  EXPECT_EQ(alpha_.self()->refused_layout_max, 9);
  EXPECT_NE(alpha_.log().find("the partner speaks layouts 7 to 9"), std::string::npos) << alpha_.log();
}

TEST_F(Ccmd, ASecondOneOfTheSameNodeEndsWithThreeAndTheFirstGoesOn) {
  alpha_.start();
  const auto incarnation = alpha_.page()->incarnation;
  EXPECT_EQ(alpha_.run_to_end(), 3);
  EXPECT_NE(alpha_.log().find("a ccmd of node alpha already runs as process " + std::to_string(alpha_.pid())),
            std::string::npos)
      << alpha_.log();
  EXPECT_TRUE(alpha_.running());
  EXPECT_EQ(alpha_.page()->incarnation, incarnation);
  EXPECT_TRUE(Client::connect(alpha_.socket(), "agent", Duration{}, std::chrono::seconds(10)));
}

TEST_F(Ccmd, EndsAsAskedAndWithdrawsItsPage) {
  start_both();
  Watcher watcher(alpha_);
  beta_.signal(SIGTERM);
  EXPECT_EQ(beta_.wait(), 0);
  EXPECT_FALSE(beta_.page());
  EXPECT_TRUE(watcher.sees_error(FabricError::not_listening));
}

TEST_F(Ccmd, AMistakenConfigurationEndsWithSeventyEightAndNamesEveryProblem) {
  alpha_.options.pair = "no spaces";
  alpha_.options.pace_ms = 99999;
  EXPECT_EQ(alpha_.run_to_end(), 78);
  EXPECT_NE(alpha_.log().find("pair: found"), std::string::npos) << alpha_.log();
  EXPECT_NE(alpha_.log().find("ccm.pace_ms: found 99999"), std::string::npos) << alpha_.log();
}

TEST_F(Ccmd, AShortKeyEndsWithSeventyEight) {
  alpha_.options.key = "short";
  EXPECT_EQ(alpha_.run_to_end(), 78);
  EXPECT_NE(alpha_.log().find("found 5 bytes"), std::string::npos) << alpha_.log();
}

TEST_F(Ccmd, CheckStartsNothing) {
  EXPECT_EQ(alpha_.run_to_end("--check"), 0);
  EXPECT_FALSE(std::filesystem::exists(alpha_.run_dir()));
}

TEST_F(Ccmd, UnknownArgumentsAreAUsageError) {
  EXPECT_EQ(alpha_.run_to_end("--faster"), 2);
  EXPECT_EQ(alpha_.run_to_end("--phase asleep"), 2);
}

TEST_F(Ccmd, ARestartedOneNeverPublishesAnEarlierPhase) {
  alpha_.options.phase = "early";
  alpha_.start();
  EXPECT_TRUE(eventually([this] { return alpha_.page() && alpha_.page()->phase == BootPhase::early; }));
  {
    auto agent = Client::connect(alpha_.socket(), "agent", Duration{}, std::chrono::seconds(10));
    ASSERT_TRUE(agent);
    ASSERT_TRUE(agent->set_phase(BootPhase::storage_active, std::chrono::seconds(10)));
  }
  alpha_.kill();
  alpha_.start();
  ASSERT_TRUE(eventually([this] { return alpha_.page().has_value(); }));
  EXPECT_EQ(alpha_.page()->phase, BootPhase::storage_active);

  // Another life of the kernel begins anew.
  alpha_.kill();
  alpha_.options.boot_id = "99999999-2222-3333-4444-555555555555";
  alpha_.start();
  ASSERT_TRUE(eventually([this] { return alpha_.page().has_value(); }));
  EXPECT_EQ(alpha_.page()->phase, BootPhase::early);
}

TEST_F(Ccmd, WithoutAPhaseItPublishesUnknown) {
  alpha_.start();
  ASSERT_TRUE(eventually([this] { return alpha_.page().has_value(); }));
  EXPECT_EQ(alpha_.page()->phase, BootPhase::unknown);
}

TEST_F(Ccmd, ToldToTraceItTellsEachOperationAndHowItEnded) {
  alpha_.options.trace = true;
  start_both();
  for (const char* part : {": connect to beta in ", ": connected: done after ",
                           "(status page), 4096 bytes: done after ", "(mailbox page), 256 bytes: done after "}) {
    EXPECT_TRUE(eventually([&] { return alpha_.log().find(part) != std::string::npos; })) << part;
  }
  beta_.kill();
  EXPECT_TRUE(eventually([this] { return alpha_.log().find("connection lost: ") != std::string::npos; }));
  EXPECT_EQ(beta_.log().find("trace"), std::string::npos) << "nobody asked that one";
}

// This machine need not have an RDMA device; no interface has this address, so there is none for the rail in any case.
TEST_F(Ccmd, ARailThatHasNoDeviceIsSaidAndTheOthersWork) {
  alpha_.options.more_rails =
      R"(, {"name": "ib", "fabric": "verbs", "address": "192.0.2.1", "partner_address": "192.0.2.2"})";
  beta_.options.rails = 1;
  start_both();
  EXPECT_TRUE(eventually([this] {
    return alpha_.log().find("rail ib (verbs) cannot be used for now: ") != std::string::npos;
  })) << alpha_.log();
  EXPECT_TRUE(connected());
}

TEST_F(Ccmd, TellsTheServiceManagerThatItIsReadyAliveAndStopping) {
  const std::string path = folder_ / "notify.sock";
  const Fd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "20000", 1);
  alpha_.start();
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  const auto next = [&] {
    std::array<char, 256> text{};
    EXPECT_GT(::recv(manager.get(), text.data(), text.size() - 1, 0), 0);
    return std::string(text.data());
  };
  EXPECT_EQ(next().find("READY=1\nSTATUS="), 0U);
  EXPECT_EQ(next(), "WATCHDOG=1");
  EXPECT_EQ(next(), "WATCHDOG=1");
  alpha_.signal(SIGTERM);
  std::string last;
  while (last != "STOPPING=1") {
    last = next();
    ASSERT_FALSE(last.empty());
  }
  EXPECT_EQ(alpha_.wait(), 0);
}

}  // namespace
}  // namespace hapair::ccm
