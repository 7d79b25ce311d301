// Clients' ports through the library, against real ccmds.
#include "ccm/client/ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "ccm/client/client.h"
#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Duration kPatience = std::chrono::seconds(10);
constexpr std::uint64_t kMemory = 8192;

PortsRequest wanted() {
  return {.ports = 1, .memory_bytes = kMemory, .staging_bytes = kMemory, .partner_reads = true, .partner_writes = true};
}

// What a client heard, as words in its order.
class Heard final : public PortHandler {
 public:
  std::vector<std::string> words;
  void partner_ready(std::size_t) override { words.emplace_back("ready"); }
  void port_moved(std::size_t) override { words.emplace_back("moved"); }
  void partner_gone(std::size_t, bool left) override { words.emplace_back(left ? "left" : "silent"); }
  void completed(std::size_t, const PortDone& done) override {
    words.push_back(std::to_string(done.id) + " " + std::string(text_of(done.result)));
  }
  void received(std::size_t, std::span<const std::byte> message) override {
    words.push_back("\"" + std::string(reinterpret_cast<const char*>(message.data()), message.size()) + "\"");
  }
};

// A client with one port, and what it heard.
struct User {
  Client client;
  Ports ports;
  Heard heard;

  static User join(const RunningCcmd& ccmd, const std::string& name, const PortsRequest& request) {
    auto client = Client::connect(ccmd.socket(), name, std::chrono::milliseconds(20), kPatience);
    EXPECT_TRUE(client) << client.error().text;
    auto ports = client->request_ports(request, kPatience);
    EXPECT_TRUE(ports) << ports.error().text;
    return {std::move(*client), std::move(*ports), {}};
  }
  Port& port() { return ports[0]; }
  bool hears(std::size_t count) {
    return eventually([&] {
      ports.dispatch(heard);
      return heard.words.size() >= count;
    });
  }
  bool hears_last(const std::string& word) {
    return eventually([&] {
      ports.dispatch(heard);
      return !heard.words.empty() && heard.words.back() == word;
    });
  }
  void forget() { heard.words.clear(); }
};

class ClientPorts : public ::testing::Test {
 protected:
  void SetUp() override {
    alpha_.start();
    beta_.start();
  }
  static std::span<std::byte> put(std::span<std::byte> at, std::string_view text) {
    std::memcpy(at.data(), text.data(), text.size());
    return at.first(text.size());
  }
  static std::string text_at(std::span<const std::byte> at, std::size_t bytes) {
    return {reinterpret_cast<const char*>(at.data()), bytes};
  }

  TempFolder folder_;
  RunningCcmd alpha_{folder_, {}};
  RunningCcmd beta_{folder_, {.node = "beta", .partner = "alpha"}};
};

TEST_F(ClientPorts, ThatCannotBeHadAreRefusedWithTheLimitAndTheClientStaysRegistered) {
  auto client = Client::connect(alpha_.socket(), "mirror", std::chrono::milliseconds(20), kPatience);
  ASSERT_TRUE(client);
  const auto refused = [&](std::uint32_t ports, std::uint64_t memory) {
    const auto got = client->request_ports({.ports = ports, .memory_bytes = memory}, kPatience);
    return got ? ClientError{} : got.error();
  };
  for (const std::uint32_t ports : {0U, 5U, 0xffff'ffffU}) {
    EXPECT_EQ(refused(ports, kMemory).refusal, ClientRefusal::port_count) << ports;
    EXPECT_THAT(refused(ports, kMemory).text, HasSubstr("allowed now: 1 to 4"));
  }
  for (const std::uint64_t memory : {std::uint64_t{0}, std::uint64_t{1} << 40U, std::uint64_t{257} << 20U}) {
    EXPECT_EQ(refused(1, memory).refusal, ClientRefusal::port_memory) << memory;
    EXPECT_THAT(refused(1, memory).text, HasSubstr("allowed now: 4096 to 268435456 bytes a port"));
  }
  EXPECT_THAT(refused(4, std::uint64_t{65} << 20U).text, HasSubstr("4096 to 67108864 bytes a port"));
  ASSERT_TRUE(client->request_ports(wanted(), kPatience));
  EXPECT_EQ(refused(1, kMemory).refusal, ClientRefusal::ports_taken);
  EXPECT_TRUE(client->alive());
}

TEST_F(ClientPorts, ReachEachOthersMemoryAndExchangeMessages) {
  User alpha = User::join(alpha_, "mirror", wanted());
  User beta = User::join(beta_, "mirror", wanted());
  ASSERT_TRUE(alpha.hears(1) && beta.hears(1));
  EXPECT_THAT(alpha.heard.words, ElementsAre("ready"));
  EXPECT_THAT(beta.heard.words, ElementsAre("ready"));
  EXPECT_EQ(alpha.port().partner().memory_bytes, kMemory);
  put(beta.port().memory().subspan(100), "of beta");
  ASSERT_TRUE(alpha.port().write(1, put(alpha.port().staging(), "of alpha"), 4000));
  ASSERT_TRUE(alpha.port().read(2, alpha.port().memory().first(7), 100));
  ASSERT_TRUE(alpha.port().send(3, std::as_bytes(std::span(std::string_view("look at 4000")))));
  alpha.ports.flush();
  ASSERT_TRUE(alpha.hears(4) && beta.hears(2));
  EXPECT_THAT(alpha.heard.words, ElementsAre("ready", "1 done", "2 done", "3 done"));
  EXPECT_THAT(beta.heard.words, ElementsAre("ready", "\"look at 4000\""));
  EXPECT_EQ(text_at(beta.port().memory().subspan(4000), 8), "of alpha");
  EXPECT_EQ(text_at(alpha.port().memory(), 7), "of beta");
}

TEST_F(ClientPorts, PostOnlyWhatTheyMay) {
  User alpha = User::join(alpha_, "mirror", wanted());
  EXPECT_EQ(alpha.port().write(1, alpha.port().staging(), 0).error(), PostError::not_ready);
  PortsRequest closed = wanted();
  closed.partner_reads = false;
  User beta = User::join(beta_, "mirror", closed);
  ASSERT_TRUE(alpha.hears(1));
  Port& port = alpha.port();
  EXPECT_EQ(port.read(1, port.staging().first(8), 0).error(), PostError::no_right);
  EXPECT_EQ(port.write(1, port.staging().first(8), kMemory - 7).error(), PostError::outside);
  EXPECT_EQ(port.write(1, port.staging().first(8), ~std::uint64_t{0}).error(), PostError::outside);
  const std::vector<std::byte> elsewhere(8);
  EXPECT_EQ(port.write(1, elsewhere, 0).error(), PostError::outside) << "not the port's own bytes";
  const std::vector<std::byte> long_message(kMaxMessageBytes + 1);
  EXPECT_EQ(port.send(1, long_message).error(), PostError::too_long);
  for (std::size_t i = 0; i < kSubmissionSlots; ++i) ASSERT_TRUE(port.write(i, port.staging().first(8), 0)) << i;
  EXPECT_EQ(port.write(99, port.staging().first(8), 0).error(), PostError::queue_full);
}

TEST_F(ClientPorts, HearThatThePartnersClientLeftAndThatAnotherCame) {
  User alpha = User::join(alpha_, "mirror", wanted());
  {
    User beta = User::join(beta_, "mirror", wanted());
    ASSERT_TRUE(alpha.hears(1) && beta.hears(1));
    alpha.forget();
    beta.client.leave();
  }
  // Its connection may end before its CCM's page says why.
  ASSERT_TRUE(alpha.hears_last("left"));
  User again = User::join(beta_, "mirror", wanted());
  alpha.forget();
  ASSERT_TRUE(alpha.hears(1));
  EXPECT_THAT(alpha.heard.words, ElementsAre("ready")) << "not moved: it is another one";
}

TEST_F(ClientPorts, HearThatThePartnersCcmIsSilent) {
  User alpha = User::join(alpha_, "mirror", wanted());
  User beta = User::join(beta_, "mirror", wanted());
  ASSERT_TRUE(alpha.hears(1) && beta.hears(1));
  alpha.forget();
  beta_.kill();
  ASSERT_TRUE(alpha.hears(1));
  EXPECT_THAT(alpha.heard.words, ElementsAre("silent"));
  EXPECT_TRUE(eventually([&] { return !beta.client.alive(); }));
}

TEST_F(ClientPorts, OfDifferentNamesDoNotMeet) {
  User alpha = User::join(alpha_, "mirror", wanted());
  User stranger = User::join(beta_, "other", wanted());
  User beta = User::join(beta_, "mirror", wanted());
  ASSERT_TRUE(alpha.hears(1) && beta.hears(1));
  stranger.ports.dispatch(stranger.heard);
  EXPECT_THAT(stranger.heard.words, IsEmpty());
}

// The library's own counters are in memory that the client may write.
TEST_F(ClientPorts, OfAClientThatScribblesOverThemAreClosedAndTheOthersLiveOn) {
  User broken = User::join(alpha_, "broken", wanted());
  User alpha = User::join(alpha_, "mirror", wanted());
  User beta = User::join(beta_, "mirror", wanted());
  ASSERT_TRUE(alpha.hears(1) && beta.hears(1));
  auto* const channel = reinterpret_cast<PortChannel*>(broken.port().staging().data() - kStagingOffset);
  ASSERT_EQ(channel->magic, kPortChannelMagic);
  std::memset(static_cast<void*>(channel), 0xff, sizeof *channel);
  ASSERT_TRUE(eventually([&] {
    broken.ports.flush();
    return !broken.client.alive() || alpha_.client("broken")->state == ClientState::gone;
  }));
  alpha.forget();
  ASSERT_TRUE(alpha.port().write(7, put(alpha.port().staging(), "well"), 0));
  alpha.ports.flush();
  ASSERT_TRUE(alpha.hears(1));
  EXPECT_THAT(alpha.heard.words, ElementsAre("7 done"));
  EXPECT_EQ(text_at(beta.port().memory(), 4), "well");
}

}  // namespace
}  // namespace hapair::ccm
