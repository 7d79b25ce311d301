#include "heartbeat/partner_watch.h"

#include "tests/unit/heartbeat/watching.h"

namespace hapair::heartbeat {
namespace {

TEST_F(Watching, knows_nothing_before_the_first_observation) { EXPECT_EQ(verdict(), Verdict::unknown); }

// The table of DESIGN.md, section 4, row by row.

TEST_F(Watching, says_alive_when_the_beats_move) {
  looks(3);
  EXPECT_EQ(verdict(), Verdict::alive);
  EXPECT_NE(because().find("rail ib0"), std::string::npos);
}

TEST_F(Watching, says_agent_hung_when_only_the_agents_beat_stands) {
  see_it_alive();
  agent_beats_ = false;
  looks(5);
  EXPECT_EQ(verdict(), Verdict::alive) << "below the agent's floor";
  looks(3);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
  EXPECT_FALSE(watch_.assessment().agent_left);
  EXPECT_NE(because().find("agent's beat moved for the last time"), std::string::npos) << because();
}

TEST_F(Watching, says_hung_when_the_page_is_readable_and_no_beat_moves) {
  see_it_alive();
  ccm_beats_ = false;
  looks(2);
  EXPECT_EQ(verdict(), Verdict::alive);
  looks(2);
  EXPECT_EQ(verdict(), Verdict::hung);
  EXPECT_EQ(verdicts_, std::vector{Verdict::hung}) << "and nothing else in between";
}

TEST_F(Watching, says_rebooted_at_a_new_boot_id_in_every_phase_before_storage_active) {
  see_it_alive();
  for (const BootPhase phase :
       {BootPhase::early, BootPhase::root, BootPhase::awaiting_giveback, BootPhase::storage_starting}) {
    page_.boot_id = boot(2);
    page_.incarnation = page_.incarnation.next();
    page_.phase = phase;
    without_agent();
    looks(3);
    EXPECT_EQ(verdict(), Verdict::rebooted) << text_of(phase);
    EXPECT_NE(because().find(page_.boot_id.text()), std::string::npos);
  }
}

TEST_F(Watching, does_not_say_rebooted_where_the_new_life_serves_or_nobody_knows_its_phase) {
  for (const BootPhase phase : {BootPhase::storage_active, BootPhase::unknown}) {
    see_it_alive();
    page_.boot_id = boot(static_cast<std::uint8_t>(page_.boot_id.bytes[0] + 1));
    page_.incarnation = page_.incarnation.next();
    page_.phase = phase;
    without_agent();
    looks(10);
    EXPECT_NE(verdict(), Verdict::rebooted) << text_of(phase);
    with_agent(ClientState::registered, page_.incarnation.value());
  }
}

TEST_F(Watching, says_rebooted_of_a_partner_that_it_meets_while_it_boots) {
  without_agent();
  for (const BootPhase phase : {BootPhase::early, BootPhase::root}) {
    page_.phase = phase;
    looks(5);
    EXPECT_EQ(verdict(), Verdict::rebooted) << text_of(phase);
  }
}

TEST_F(Watching, says_ccm_restarted_at_a_new_incarnation_of_the_same_boot_and_never_rebooted) {
  see_it_alive();
  for (const BootPhase phase : {BootPhase::unknown, BootPhase::storage_active, BootPhase::awaiting_giveback}) {
    page_.incarnation = page_.incarnation.next();
    page_.phase = phase;
    without_agent();
    looks(5);
    EXPECT_EQ(verdict(), Verdict::ccm_restarted) << text_of(phase);
  }
  with_agent();
  looks(3);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(Watching, says_leaving_in_the_phases_of_the_way_down) {
  see_it_alive();
  for (const BootPhase phase : {BootPhase::storage_stopping, BootPhase::shutting_down}) {
    page_.phase = phase;
    looks(2);
    EXPECT_EQ(verdict(), Verdict::leaving) << text_of(phase);
  }
  with_agent(ClientState::left);
  looks(20);
  EXPECT_EQ(verdict(), Verdict::leaving);
}

TEST_F(Watching, says_agent_hung_when_the_agent_dies_or_hangs_while_it_stops_the_storage) {
  see_it_alive();
  page_.phase = BootPhase::storage_stopping;
  agent_beats_ = false;
  looks(20);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
  agent_beats_ = true;
  looks(3);
  EXPECT_EQ(verdict(), Verdict::leaving);
  with_agent(ClientState::gone);
  looks(3);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
}

TEST_F(Watching, says_panicked_when_the_crash_kernel_does) {
  see_it_alive();
  page_.boot_id = boot(2);
  page_.incarnation = Incarnation(7);
  page_.phase = BootPhase::panicked;
  without_agent();
  looks(3);
  EXPECT_EQ(verdict(), Verdict::panicked);
}

TEST_F(Watching, says_ccm_gone_when_the_host_answers_and_its_ccm_does_not) {
  for (const FabricError error : {FabricError::not_listening, FabricError::refused, FabricError::remote_access}) {
    see_it_alive();
    fails(error, 20);
    EXPECT_EQ(verdict(), Verdict::ccm_gone) << text_of(error);
    EXPECT_NE(because().find(text_of(error)), std::string::npos);
    EXPECT_EQ(verdicts_, std::vector{Verdict::ccm_gone});
  }
}

TEST_F(Watching, says_unreachable_when_everything_is_silent) {
  for (const FabricError error :
       {FabricError::deadline, FabricError::retry_exceeded, FabricError::disconnected, FabricError::link_down}) {
    now_ += seconds(61);  // what is tried here one after the other is no flapping
    see_it_alive();
    waits(2);
    EXPECT_EQ(verdict(), Verdict::alive) << "below the floor";
    fails(error, 3);
    EXPECT_EQ(verdict(), Verdict::unreachable) << text_of(error);
  }
}

TEST_F(Watching, says_when_its_own_link_is_down_and_takes_it_back_when_it_is_up_again) {
  looks(20);
  fails(FabricError::link_down, 20);
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_TRUE(watch_.assessment().own_link_down);
  EXPECT_NE(because().find("this node's own link is down"), std::string::npos) << because();
  fails(FabricError::retry_exceeded);
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_FALSE(watch_.assessment().own_link_down) << "the link is up, and the partner still does not answer";
}

TEST_F(Watching, says_unreachable_of_a_host_that_goes_silent_after_its_ccm) {
  see_it_alive();
  fails(FabricError::not_listening, 5);
  ASSERT_EQ(verdict(), Verdict::ccm_gone);
  fails(FabricError::deadline, 10);
  EXPECT_EQ(verdict(), Verdict::unreachable);
}

// Several rails.

TEST_F(Watching, sees_the_partner_alive_while_one_of_two_rails_shows_it) {
  see_it_alive();
  const auto on = [&](std::uint64_t rail, int times, FabricError error) {
    for (int i = 0; i < times; ++i) {
      look();
      Observation failed;
      failed.rail = RailId(rail);
      failed.kind = ObservationKind::failed;
      failed.error = error;
      failed.when = now_;
      EXPECT_FALSE(watch_.observe(failed));
    }
  };
  on(1, 50, FabricError::retry_exceeded);
  on(1, 50, FabricError::not_listening);
  on(2, 50, FabricError::link_down);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(Watching, judges_the_partner_by_all_rails_once_none_shows_it) {
  see_it_alive();
  const auto fail = [&](std::uint64_t rail, FabricError error) {
    Observation failed;
    failed.rail = RailId(rail);
    failed.kind = ObservationKind::failed;
    failed.error = error;
    observe(failed);
  };
  for (int i = 0; i < 20; ++i) {
    fail(0, FabricError::link_down);
    fail(1, FabricError::retry_exceeded);
  }
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_FALSE(watch_.assessment().own_link_down) << "the other rail's own port has its link";
  fail(1, FabricError::not_listening);
  EXPECT_EQ(verdict(), Verdict::ccm_gone) << "one rail on which the host answers is enough";
}

TEST_F(Watching, names_the_rail_that_was_answered_last_when_all_are_silent) {
  see_it_alive();
  for (int i = 0; i < 20; ++i) {
    Observation failed;
    failed.rail = RailId(1);
    failed.kind = ObservationKind::failed;
    failed.error = FabricError::retry_exceeded;
    observe(failed);
  }
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_NE(because().find("rail ib0: the last read of the partner's page that was answered"), std::string::npos)
      << because();
}

TEST_F(Watching, does_not_take_a_stranger_on_one_rail_for_the_partner_that_another_proves) {
  see_it_alive();
  for (int i = 0; i < 50; ++i) {
    look();
    Observation strange;
    strange.rail = RailId(1);
    strange.kind = ObservationKind::page;
    strange.when = now_;
    strange.page = page_;
    strange.page->incarnation = Incarnation(77);
    strange.page->phase = BootPhase::panicked;
    EXPECT_FALSE(watch_.observe(strange));
  }
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(Watching, does_not_count_a_page_that_another_rail_overtook) {
  see_it_alive();
  agent_beats_ = ccm_beats_ = false;
  for (int i = 0; i < 100; ++i) {
    look();
    Observation late;
    late.rail = RailId(1);
    late.kind = ObservationKind::page;
    late.proof = ccm::PageProof::session;
    late.when = now_;
    late.page = page_;
    --late.page->ccm_beat;
    --late.page->clients[0].beat;
    observe(late);
  }
  EXPECT_EQ(verdict(), Verdict::hung) << "an older beat is no life";
}

// What only proof can show.

TEST_F(Watching, takes_no_boot_id_and_no_phase_from_a_page_without_proof) {
  see_it_alive();
  proof_ = ccm::PageProof::none;
  page_.boot_id = boot(9);
  page_.incarnation = Incarnation(9);
  for (const BootPhase phase : {BootPhase::early, BootPhase::panicked, BootPhase::shutting_down}) {
    page_.phase = phase;
    looks(20);
    EXPECT_EQ(verdict(), Verdict::unproven) << text_of(phase);
  }
  ASSERT_TRUE(watch_.proven_page());
  EXPECT_EQ(watch_.proven_page()->boot_id, boot(1));
}

TEST_F(Watching, says_unproven_of_another_key_and_nothing_that_costs_a_takeover_while_it_beats) {
  proof_ = ccm::PageProof::none;
  for (int i = 0; i < 500; ++i) {
    look();
    ASSERT_FALSE(may_cost_a_takeover(verdict()));
  }
  EXPECT_EQ(verdict(), Verdict::unproven);
  EXPECT_FALSE(watch_.proven_page());
}

TEST_F(Watching, repeats_what_the_page_without_proof_says_is_wrong) {
  proof_ = ccm::PageProof::none;
  page_.trouble = ccm::kTroubleNoKey;
  looks(20);
  ASSERT_EQ(verdict(), Verdict::unproven);
  EXPECT_THAT(watch_.assessment().because.back().fact, testing::EndsWith("; it says: it has no usable key"));
}

TEST_F(Watching, takes_no_phase_from_a_page_that_carries_only_the_handshakes_proof) {
  see_it_alive();
  proof_ = ccm::PageProof::handshake;
  for (const BootPhase phase : {BootPhase::panicked, BootPhase::shutting_down, BootPhase::storage_stopping}) {
    page_.phase = phase;
    looks(20);
    EXPECT_EQ(verdict(), Verdict::alive) << text_of(phase) << ": its beats move, and nothing else is certain";
  }
  without_agent();
  page_.phase = BootPhase::early;
  page_.boot_id = boot(9);
  looks(20);
  EXPECT_NE(verdict(), Verdict::rebooted);
  proof_ = ccm::PageProof::session;
  looks(2);
  EXPECT_EQ(verdict(), Verdict::rebooted);
}

TEST_F(Watching, gives_a_handshake_the_time_of_the_floor_before_it_says_unproven) {
  proof_ = ccm::PageProof::none;
  looks(3);
  EXPECT_EQ(verdict(), Verdict::unknown);
  proof_ = ccm::PageProof::session;
  looks(3);
  EXPECT_EQ(verdict(), Verdict::alive);
  EXPECT_EQ(verdicts_, std::vector{Verdict::alive});
}

TEST_F(Watching, says_unproven_when_what_answers_is_no_page_of_the_partner) {
  see_it_alive();
  for (int i = 0; i < 20; ++i) {
    Observation seen;
    seen.kind = ObservationKind::unreadable;
    observe(seen);
  }
  EXPECT_EQ(verdict(), Verdict::unproven);
}

TEST_F(Watching, stays_at_the_verdict_over_one_torn_page) {
  see_it_alive();
  Observation seen;
  seen.kind = ObservationKind::unreadable;
  observe(seen);
  looks(3);
  EXPECT_TRUE(verdicts_.empty());
}

// A node first suspects itself.

TEST_F(Watching, blames_nobody_after_it_was_paused_itself) {
  for (const int moved : {0, 1}) {
    see_it_alive();
    pace_ = seconds(5);
    ccm_beats_ = moved == 1;  // also where the first page after the pause is the one of before
    look();
    pace_ = milliseconds(10);
    ccm_beats_ = true;
    looks(10);
    EXPECT_TRUE(verdicts_.empty());
  }
}

TEST_F(Watching, blames_nobody_for_one_unanswered_read_after_it_was_paused_itself) {
  see_it_alive();
  pace_ = seconds(5);
  waits(1);
  pace_ = milliseconds(10);
  looks(5);
  EXPECT_TRUE(verdicts_.empty());
}

TEST_F(Watching, still_sees_a_partner_that_died_while_it_was_paused_itself) {
  see_it_alive();
  pace_ = seconds(5);
  waits(1);
  pace_ = milliseconds(10);
  waits(3);
  EXPECT_EQ(verdict(), Verdict::unreachable);
}

TEST_F(Watching, knows_nothing_once_its_own_ccm_is_lost) {
  see_it_alive();
  watch_.own_ccm_lost(now_, "the CCM closed its socket");
  EXPECT_EQ(verdict(), Verdict::unknown);
  EXPECT_NE(because().find("own CCM"), std::string::npos);
  pace_ = seconds(3);
  waits(1);
  pace_ = milliseconds(10);
  EXPECT_EQ(verdict(), Verdict::unknown) << "the time without the CCM counts for nothing";
  looks(4);
  EXPECT_EQ(verdict(), Verdict::alive);
}

// The agent's lives.

TEST_F(Watching, waits_for_three_beats_of_an_agent_that_beats_slowly) {
  with_agent(ClientState::registered, 2);
  page_.clients[0].pace = milliseconds(100);
  for (int i = 0; i < 100; ++i) {
    agent_beats_ = i % 10 == 0;
    look();
  }
  EXPECT_EQ(verdicts_, std::vector{Verdict::alive}) << "it beats as it said";
  looks(19);
  EXPECT_EQ(verdict(), Verdict::alive);
  looks(5);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
}

TEST_F(Watching, says_agent_hung_at_once_when_its_process_is_gone) {
  see_it_alive();
  with_agent(ClientState::gone);
  look();
  EXPECT_EQ(verdict(), Verdict::agent_hung);
  EXPECT_FALSE(watch_.assessment().agent_left);
}

TEST_F(Watching, tells_an_agent_that_left_from_one_that_died) {
  see_it_alive();
  with_agent(ClientState::left);
  look();
  EXPECT_EQ(verdict(), Verdict::agent_hung);
  EXPECT_TRUE(watch_.assessment().agent_left);
  with_agent(ClientState::gone, 2);
  look();
  EXPECT_FALSE(watch_.assessment().agent_left) << "a later life of it died";
}

TEST_F(Watching, takes_an_agent_of_another_life_for_alive_once_it_beats) {
  see_it_alive();
  with_agent(ClientState::gone);
  looks(5);
  with_agent(ClientState::registered, 2);
  agent_beats_ = false;
  looks(5);
  EXPECT_EQ(verdict(), Verdict::agent_hung) << "registered, but it has not beaten yet";
  agent_beats_ = true;
  looks(2);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(Watching, says_agent_hung_of_an_agent_that_registers_and_never_beats) {
  with_agent();
  agent_beats_ = false;
  looks(20);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
}

TEST_F(Watching, does_not_flap_with_pages_that_come_and_go) {
  see_it_alive();
  for (int i = 0; i < 100; ++i) {
    waits(2);
    look();
  }
  EXPECT_TRUE(verdicts_.empty());
}

TEST_F(Watching, says_each_verdict_once_with_its_evidence) {
  see_it_alive();
  waits(100);
  looks(5);
  EXPECT_EQ(verdicts_, (std::vector{Verdict::unreachable, Verdict::alive}));
  EXPECT_FALSE(watch_.assessment().because.empty());
}

TEST_F(Watching, takes_a_sighting_only_from_a_page_with_the_sessions_mac) {
  looks(20);
  ASSERT_TRUE(watch_.sighting());
  EXPECT_EQ(watch_.sighting()->boot_id, boot(1));
  page_.boot_id = boot(2);
  page_.phase = BootPhase::early;
  for (const ccm::PageProof proof : {ccm::PageProof::none, ccm::PageProof::handshake}) {
    proof_ = proof;
    looks(20);
    EXPECT_EQ(watch_.sighting()->boot_id, boot(1));
  }
  proof_ = ccm::PageProof::session;
  look();
  EXPECT_EQ(watch_.sighting()->boot_id, boot(2));
  EXPECT_EQ(watch_.sighting()->phase, BootPhase::early);
}

TEST(WatchingPhases, makes_a_stalled_phase_evidence_once_and_leaves_the_verdict_and_its_time) {
  WatchLimits limits{.pace = milliseconds(10),
                     .floor = milliseconds(30),
                     .agent_floor = milliseconds(60),
                     .ceiling = milliseconds(500)};
  limits.phase_bounds.at(static_cast<std::size_t>(BootPhase::early)) = seconds(60);
  PartnerWatch watch(limits);
  Instant now(seconds(10));
  Observation seen;
  seen.kind = ObservationKind::page;
  seen.proof = ccm::PageProof::session;
  seen.page.emplace();
  seen.page->boot_id = boot(1);
  seen.page->incarnation = Incarnation(1);
  seen.page->phase = BootPhase::early;
  const auto look = [&](Duration in_phase) {
    now += milliseconds(10);
    seen.when = now;
    ++seen.page->ccm_beat;
    seen.page->phase_since = in_phase;
    return watch.observe(seen);
  };
  const auto first = look(seconds(59));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->verdict, Verdict::rebooted);
  const auto stalled = look(seconds(61));
  ASSERT_TRUE(stalled);
  EXPECT_EQ(stalled->verdict, Verdict::rebooted);
  EXPECT_EQ(stalled->since, first->since);
  ASSERT_TRUE(stalled->stalled);
  EXPECT_EQ(stalled->stalled->phase, BootPhase::early);
  EXPECT_EQ(stalled->because.back().fact, "it is stalled in phase early for 61 s (bound 60 s)");
  EXPECT_FALSE(look(seconds(62)));
  seen.page->phase = BootPhase::root;
  const auto moved = look(Duration{});
  ASSERT_TRUE(moved);
  EXPECT_FALSE(moved->stalled);
}

}  // namespace
}  // namespace hapair::heartbeat
