// The partner of a watch, as its page shows it, for the watch's tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ccm/wire/observation.h"
#include "heartbeat/partner_watch.h"

namespace hapair::heartbeat {

using ccm::BootPhase;
using ccm::ClientState;
using ccm::FabricError;
using ccm::ObservationKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline BootId boot(std::uint8_t number) {
  BootId id;
  id.bytes[0] = number;
  return id;
}

// The partner, as its page shows it, and a node that looks at it every 10 ms.
class Watching : public ::testing::Test {
 protected:
  Watching() {
    page_.pair = *PairName::parse("pair");
    page_.node = *NodeName::parse("b");
    page_.incarnation = Incarnation(1);
    page_.boot_id = boot(1);
    page_.phase = BootPhase::storage_active;
    with_agent();
  }

  void with_agent(ClientState state = ClientState::registered, std::uint64_t life = 1) {
    ccm::ClientView agent;
    agent.name = std::string(ccm::kAgentClientName);
    agent.life = life;
    agent.state = state;
    agent.beat = page_.clients.empty() ? 0 : page_.clients[0].beat;
    page_.clients = {agent};
  }
  void without_agent() { page_.clients.clear(); }

  void observe(Observation seen) {
    now_ += pace_;
    seen.when = now_;
    if (const auto changed = watch_.observe(seen)) verdicts_.push_back(changed->verdict);
  }
  void look() {
    if (ccm_beats_) ++page_.ccm_beat;
    if (agent_beats_ && ccm_beats_ && !page_.clients.empty()) ++page_.clients[0].beat;
    Observation seen;
    seen.kind = ObservationKind::page;
    seen.proof = proof_;
    seen.page = page_;
    observe(seen);
  }
  void looks(int times) {
    for (int i = 0; i < times; ++i) look();
  }
  void fails(FabricError error, int times = 1) {
    for (int i = 0; i < times; ++i) {
      Observation seen;
      seen.kind = ObservationKind::failed;
      seen.error = error;
      observe(seen);
    }
  }
  void waits(int times) {
    for (int i = 0; i < times; ++i) {
      Observation seen;
      seen.kind = ObservationKind::pending;
      observe(seen);
    }
  }
  // Between two looks.
  void beats_on(std::uint64_t network) {
    Observation seen;
    seen.when = now_;
    seen.kind = ObservationKind::beat;
    seen.network = NetworkId(network);
    seen.beat.emplace();
    seen.beat->network = static_cast<std::uint8_t>(network);
    seen.beat->incarnation = page_.incarnation;
    seen.beat->boot_id = page_.boot_id;
    if (const auto changed = watch_.observe(seen)) verdicts_.push_back(changed->verdict);
  }
  Verdict verdict() { return watch_.assessment().verdict; }
  std::string because() {
    std::string all;
    for (const Evidence& each : watch_.assessment().because) all += each.channel + ": " + each.fact + "\n";
    return all;
  }
  void see_it_alive() {
    looks(100);  // more than a detector remembers
    ASSERT_EQ(verdict(), Verdict::alive);
    verdicts_.clear();
  }
  // Everything that a takeover may follow from at once.
  static bool may_cost_a_takeover(Verdict verdict) {
    return verdict == Verdict::unreachable || verdict == Verdict::hung || verdict == Verdict::panicked;
  }

  PartnerWatch watch_{{.pace = milliseconds(10),
                       .floor = milliseconds(30),
                       .agent_floor = milliseconds(60),
                       .ceiling = milliseconds(500),
                       .network_paces = {milliseconds(10), milliseconds(50)},
                       .rail_names = {"ib0"},
                       .network_names = {"network mgmt"}}};
  Instant now_ = Instant(seconds(50));
  Duration pace_ = milliseconds(10);
  ccm::StatusView page_;
  ccm::PageProof proof_ = ccm::PageProof::session;
  bool ccm_beats_ = true;
  bool agent_beats_ = true;
  std::vector<Verdict> verdicts_;
};

}  // namespace hapair::heartbeat
