// Two nodes' port hosts in one process, over shm, and clients that write their rings by hand: what the library does,
// and what it never would.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ccm/ports/port_host.h"
#include "ccm/wire/mac.h"
#include "tests/unit/ccm/fabric/shm/shm_ports.h"

namespace hapair::ccm {

constexpr std::uint64_t kMemory = 65536;
constexpr std::uint64_t kStaging = 8192;

// One port as its client maps it.
class RawPort {
 public:
  RawPort(int memory_fd, int control_fd)
      : memory_(map(memory_fd, kMemory)), control_(map(control_fd, kStagingOffset + kStaging)) {}

  [[nodiscard]] PortChannel& channel() const { return *reinterpret_cast<PortChannel*>(control_.bytes().data()); }
  [[nodiscard]] std::span<std::byte> memory() const { return memory_.bytes(); }
  [[nodiscard]] std::span<std::byte> staging() const { return control_.bytes().subspan(kStagingOffset); }
  // The serial of the newest standing that was told, whether or not it has been read.
  [[nodiscard]] std::uint32_t standing() const {
    std::uint32_t newest = standing_;
    const std::uint32_t completed = load(channel().completed);
    if (completed - consumed_ > kCompletionSlots) return newest;  // it was scribbled over
    for (std::uint32_t i = consumed_; i != completed; ++i) {
      const PortCompletion& entry = channel().completions.at(i % kCompletionSlots);
      if (is_standing(entry)) newest = entry.standing;
    }
    return newest;
  }

  void submit(PortSubmission submission) {
    if (submission.standing == 0) submission.standing = standing();
    channel().submissions.at(submitted_ % kSubmissionSlots) = submission;
    store(channel().submitted, ++submitted_);
  }
  void write(std::uint64_t id, std::uint64_t local, std::uint64_t remote, std::uint64_t bytes) {
    submit(memory_operation(PortOperation::write, id, local, remote, bytes));
  }
  void read(std::uint64_t id, std::uint64_t local, std::uint64_t remote, std::uint64_t bytes) {
    submit(memory_operation(PortOperation::read, id, local, remote, bytes));
  }
  // A message that says its number.
  void send(std::uint64_t id, std::uint32_t slot) {
    std::memcpy(channel().sent.at(slot).data() + sizeof(MessageHeader), &id, sizeof id);
    submit({.id = id,
            .operation = static_cast<std::uint32_t>(PortOperation::send),
            .slot = slot,
            .local = 0,
            .remote = 0,
            .bytes = sizeof id,
            .standing = 0,
            .zero = 0});
  }
  static PortSubmission memory_operation(PortOperation operation, std::uint64_t id, std::uint64_t local,
                                         std::uint64_t remote, std::uint64_t bytes) {
    return {.id = id,
            .operation = static_cast<std::uint32_t>(operation),
            .slot = 0,
            .local = local,
            .remote = remote,
            .bytes = bytes,
            .standing = 0,
            .zero = 0};
  }

  // What ended or arrived next, where there is something; a message's slot stays the client's until release().
  std::optional<PortCompletion> next() {
    while (load(channel().completed) != consumed_) {
      const PortCompletion entry = channel().completions.at(consumed_ % kCompletionSlots);
      store(channel().consumed, ++consumed_);
      if (!is_standing(entry)) return entry;
      standing_ = entry.standing;
    }
    return std::nullopt;
  }
  void release() { store(channel().released, ++released_); }
  [[nodiscard]] std::uint64_t message(const PortCompletion& completion) const {
    std::uint64_t id = 0;
    std::memcpy(&id, channel().received.at(completion.slot).data() + sizeof(MessageHeader), sizeof id);
    return id;
  }

  static std::uint32_t load(std::uint32_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
  static void store(std::uint32_t& word, std::uint32_t value) {
    std::atomic_ref(word).store(value, std::memory_order_release);
  }

 private:
  static bool is_standing(const PortCompletion& entry) {
    return entry.kind == static_cast<std::uint32_t>(PortCompletionKind::standing);
  }
  static Mapping map(int fd, std::size_t bytes) {
    const Fd own(::dup(fd));
    auto mapping = Mapping::map(own, bytes, true);
    EXPECT_TRUE(mapping) << mapping.error();
    return std::move(*mapping);
  }

  Mapping memory_;
  Mapping control_;
  std::uint32_t submitted_ = 0;
  std::uint32_t consumed_ = 0;
  std::uint32_t released_ = 0;
  std::uint32_t standing_ = 0;  // of those that were read
};

// One node: a fabric, a host over it, and what the host told.
struct HostNode {
  HostNode(const std::string& folder, const char* name, const char* partner)
      : fabric(shm_settings(folder, name, partner)), epoll(::epoll_create1(EPOLL_CLOEXEC)) {
    const auto opened = fabric.open();
    EXPECT_TRUE(opened) << opened.error();
    host.emplace(std::span<PortFabric* const>(fabrics), random, epoll.get());
  }
  void turn() {
    host->turn(clock.now());
    while (const auto one = host->next_news()) news.push_back(*one);
  }
  void carry_out(const PortCommand& command) { host->carry_out(clock.now(), command); }
  // Takes the first of that kind out of what was told.
  std::optional<PortNews> told(PortNews::Kind kind) {
    const auto found = std::ranges::find(news, kind, &PortNews::kind);
    if (found == news.end()) return std::nullopt;
    const PortNews one = *found;
    news.erase(found);
    return one;
  }

  SystemClock clock;
  SystemRandom random;
  ShmPortFabric fabric;
  std::array<PortFabric*, 1> fabrics{&fabric};
  Fd epoll;
  std::optional<PortHost> host;
  std::vector<PortNews> news;
};

class TwoPortHosts : public ::testing::Test {
 protected:
  static constexpr std::uint8_t kRights = kPartnerReads | kPartnerWrites;

  // What the client of `slot` gets, with its kick and wake.
  struct RawClient {
    std::uint64_t life = 0;
    Fd kick;
    Fd wake;
    std::vector<std::unique_ptr<RawPort>> ports;
    RawPort& port(std::size_t i = 0) { return *ports.at(i); }
  };

  static PortCommand command(PortCommand::Kind kind, PortRef port, std::uint64_t life) {
    PortCommand out;
    out.kind = kind;
    out.port = port;
    out.life = life;
    return out;
  }
  RawClient create(HostNode& node, std::uint8_t slot, std::uint64_t life, std::uint8_t ports = 1,
                   std::uint8_t rights = kRights) {
    PortCommand make = command(PortCommand::Kind::create, {slot, 0}, life);
    make.wants = {.ports = ports, .rights = rights, .memory_bytes = kMemory};
    make.staging_bytes = kStaging;
    node.carry_out(make);
    node.turn();
    const auto made = node.told(PortNews::Kind::created);
    RawClient client;
    EXPECT_TRUE(made);
    if (!made) return client;
    client.life = life;
    client.kick = Fd(::dup(made->grant.kick));
    client.wake = Fd(::dup(made->grant.wake));
    for (std::uint8_t i = 0; i < ports; ++i) {
      client.ports.push_back(std::make_unique<RawPort>(made->grant.memory.at(i), made->grant.control.at(i)));
    }
    return client;
  }
  void expose(HostNode& node, PortRef port, std::uint64_t life, std::uint32_t exposure) {
    PortCommand out = command(PortCommand::Kind::expose, port, life);
    out.exposure = exposure;
    out.token = port_token(static_cast<std::uint8_t>(exposure));
    node.carry_out(out);
  }
  // From `node` into the partner's exposure; true once it is up.
  bool connect(HostNode& node, PortRef port, std::uint64_t life, std::uint32_t exposure) {
    PortCommand out = command(PortCommand::Kind::connect, port, life);
    out.exposure = exposure;
    out.token = port_token(static_cast<std::uint8_t>(exposure));
    node.carry_out(out);
    return turn_until([&] { return node.told(PortNews::Kind::connected).has_value(); });
  }
  void tell(HostNode& node, PortRef port, std::uint64_t life, PortStandingState state,
            std::uint8_t partner_rights = kRights) {
    PortCommand out = command(PortCommand::Kind::tell, port, life);
    out.standing.state = state;
    out.standing.partner_memory = kMemory;
    out.standing.partner_rights = partner_rights;
    out.standing.partner_life = 1;
    node.carry_out(out);
  }
  void part(PortRef port, std::uint64_t life_a, std::uint64_t life_b) {
    for (const auto kind : {PortCommand::Kind::conceal, PortCommand::Kind::drop}) {
      alpha_.carry_out(command(kind, port, life_a));
      beta_.carry_out(command(kind, port, life_b));
    }
  }
  // Both directions of the port that has the same number on both nodes, over exposures that were not used before.
  void join(PortRef port, std::uint64_t life_a, std::uint64_t life_b, std::uint8_t rights_of_beta = kRights) {
    part(port, life_a, life_b);
    const std::uint32_t at_beta = next_exposure_++;
    const std::uint32_t at_alpha = next_exposure_++;
    expose(beta_, port, life_b, at_beta);
    expose(alpha_, port, life_a, at_alpha);
    ASSERT_TRUE(connect(alpha_, port, life_a, at_beta));
    ASSERT_TRUE(connect(beta_, port, life_b, at_alpha));
    tell(alpha_, port, life_a, PortStandingState::ready, rights_of_beta);
    tell(beta_, port, life_b, PortStandingState::ready);
  }

  void turn() {
    alpha_.turn();
    beta_.turn();
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn();
  }
  // False after ten seconds.
  bool turn_until(const std::function<bool()>& condition) {
    const SystemClock clock;
    const Instant end = clock.now() + std::chrono::seconds(10);
    while (!condition()) {
      if (clock.now() > end) return false;
      turn();
    }
    return true;
  }
  // The next completion of `port`, which has to come.
  PortCompletion completion_of(RawPort& port) {
    std::optional<PortCompletion> found;
    EXPECT_TRUE(turn_until([&] { return (found = port.next()).has_value(); }));
    return found.value_or(PortCompletion{});
  }
  void expect_result(RawPort& port, std::uint64_t id, PortResult result) {
    const PortCompletion completion = completion_of(port);
    EXPECT_EQ(completion.kind, static_cast<std::uint32_t>(PortCompletionKind::operation));
    EXPECT_EQ(completion.id, id);
    EXPECT_EQ(static_cast<PortResult>(completion.result), result) << "operation " << id;
  }

  TempFolder folder_;
  HostNode alpha_{folder_.path(), "alpha", "beta"};
  HostNode beta_{folder_.path(), "beta", "alpha"};
  std::uint32_t next_exposure_ = 1;
};

}  // namespace hapair::ccm
