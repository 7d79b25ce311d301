#include "agent/core/transitions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace hapair::agent {
namespace {

using Pair = std::pair<PoolState, PoolEvent>;

std::string text(const Pair& pair) {
  return std::string(text_of(pair.first)) + " with " + std::string(text_of(pair.second));
}

std::set<Pair> in_table() {
  std::set<Pair> pairs;
  for (const Transition& row : transitions()) pairs.insert({row.from, row.event});
  return pairs;
}

TEST(Transitions, know_every_event_in_every_state_or_say_why_it_is_ignored) {
  const std::set<Pair> table = in_table();
  std::set<Pair> ignored;
  for (const Ignored& each : ignored_events()) {
    EXPECT_TRUE(ignored.insert({each.state, each.event}).second)
        << text({each.state, each.event}) << " is ignored twice";
    EXPECT_STRNE(each.why, "");
  }
  for (std::uint8_t state = 0; state < kPoolStates; ++state) {
    for (std::uint8_t event = 0; event < kPoolEvents; ++event) {
      const Pair pair{static_cast<PoolState>(state), static_cast<PoolEvent>(event)};
      EXPECT_NE(text_of(pair.first), "unknown");
      EXPECT_NE(text_of(pair.second), "unknown");
      EXPECT_EQ(table.contains(pair) + ignored.contains(pair), 1)
          << text(pair) << (table.contains(pair) ? " is in the table and ignored" : " is nowhere");
    }
  }
}

TEST(Transitions, have_no_row_behind_one_that_is_always_taken) {
  std::set<Pair> taken;
  for (const Transition& row : transitions()) {
    EXPECT_FALSE(taken.contains({row.from, row.event})) << text({row.from, row.event}) << ": " << row.sentence;
    if (row.guard == Guard::always) taken.insert({row.from, row.event});
  }
}

TEST(Transitions, have_no_row_twice) {
  std::set<std::tuple<PoolState, PoolEvent, Guard>> rows;
  for (const Transition& row : transitions()) {
    EXPECT_TRUE(rows.insert({row.from, row.event, row.guard}).second) << text({row.from, row.event});
    EXPECT_NE(text_of(row.guard), "unknown");
    EXPECT_STRNE(row.sentence, "");
  }
}

TEST(Transitions, lead_from_probing_to_every_state_and_from_every_state_back_to_serving) {
  const auto reach = [](PoolState start, bool forward) {
    std::set<PoolState> seen{start};
    for (bool grew = true; grew;) {
      grew = false;
      for (const Transition& row : transitions()) {
        const PoolState from = forward ? row.from : row.to;
        const PoolState to = forward ? row.to : row.from;
        if (seen.contains(from) && seen.insert(to).second) grew = true;
      }
    }
    return seen.size();
  };
  EXPECT_EQ(reach(PoolState::probing, true), kPoolStates);
  EXPECT_EQ(reach(PoolState::serving, false), kPoolStates);
}

// Design, section 5: nothing of a pool starts without a permit, and a fence is only confirmed, never assumed.
TEST(Transitions,
     enter_acquiring_only_by_a_release_an_answer_a_confirmed_fence_a_reboot_the_end_of_a_lease_or_the_clusters_word) {
  const std::set<PoolEvent> proofs = {PoolEvent::partner_released, PoolEvent::partner_answered,
                                      PoolEvent::fence_confirmed,  PoolEvent::reboot_proved,
                                      PoolEvent::lease_expired,    PoolEvent::cluster_vouches};
  for (const Transition& row : transitions()) {
    EXPECT_TRUE(row.to != PoolState::acquiring || proofs.contains(row.event)) << row.sentence;
    if (row.to != PoolState::starting) continue;
    const bool acquired = row.from == PoolState::acquiring && row.event == PoolEvent::durable;
    const bool held = row.from == PoolState::probing && row.guard == Guard::held_here;
    EXPECT_TRUE(acquired || held) << row.sentence;
  }
}

TEST(Transitions, ask_for_a_fence_only_when_the_claim_is_durable) {
  for (const Transition& row : transitions()) {
    if (row.to != PoolState::fencing || row.from == PoolState::fencing) continue;
    EXPECT_EQ(row.from, PoolState::claiming) << row.sentence;
    EXPECT_EQ(row.event, PoolEvent::durable) << row.sentence;
  }
}

TEST(Transitions, offer_a_pool_only_when_all_of_it_is_stopped_and_the_release_is_durable) {
  for (const Transition& row : transitions()) {
    // Of what is this node's by the record alone nothing runs: it was looked at before.
    const bool nothing_runs = row.event == PoolEvent::all_stopped || row.guard == Guard::clusters_to_give;
    EXPECT_TRUE(row.to != PoolState::releasing || nothing_runs) << row.sentence;
    if (row.to != PoolState::released) continue;
    const bool written = row.from == PoolState::releasing && row.event == PoolEvent::durable;
    const bool read = row.from == PoolState::probing && row.event == PoolEvent::none_running;
    EXPECT_TRUE(written || read) << row.sentence;
  }
}

TEST(Transitions, print_as_a_diagram_with_every_row) {
  const std::string diagram = transitions_as_mermaid();
  EXPECT_TRUE(diagram.starts_with("stateDiagram-v2\n"));
  EXPECT_EQ(static_cast<std::size_t>(std::count(diagram.begin(), diagram.end(), '\n')), transitions().size() + 1);
  EXPECT_NE(diagram.find("fencing --> acquiring : fence-confirmed"), std::string::npos);
}

}  // namespace
}  // namespace hapair::agent
