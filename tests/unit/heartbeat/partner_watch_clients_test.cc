// What a watch makes of the partner's other clients: their beats, and the work that they tell of.
#include "tests/unit/heartbeat/watching.h"

namespace hapair::heartbeat {
namespace {

class WatchingClients : public Watching {
 protected:
  WatchingClients() { with_storage(); }

  void with_storage() {
    ccm::ClientView storage;
    storage.name = "target";
    storage.life = 77;
    storage.state = ClientState::registered;
    storage.pace = milliseconds(20);
    storage.outstanding = 3;
    storage.stall_limit = milliseconds(200);
    page_.clients.push_back(storage);
  }
  ccm::ClientView& storage() { return page_.clients.at(1); }
  // Looks while the storage does so much at each.
  void works(int times, int completes = 1) {
    for (int i = 0; i < times; ++i) {
      storage().completed += static_cast<std::uint64_t>(completes);
      ++storage().beat;
      look();
    }
  }
  void stands(int times) { works(times, 0); }
};

TEST_F(WatchingClients, says_storage_stalled_when_work_is_outstanding_and_none_is_completed) {
  works(100);
  ASSERT_EQ(verdict(), Verdict::alive);
  stands(19);
  EXPECT_EQ(verdict(), Verdict::alive) << "below the limit that the client told";
  stands(1);
  EXPECT_EQ(verdict(), Verdict::storage_stalled);
  EXPECT_NE(because().find("target moved for the last time: 100 done"), std::string::npos) << because();
  EXPECT_NE(because().find("3 outstanding"), std::string::npos) << because();
}

TEST_F(WatchingClients, holds_nothing_against_an_idle_storage) {
  works(100);
  storage().outstanding = 0;
  stands(500);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, counts_from_when_the_work_began) {
  works(10);
  storage().outstanding = 0;
  stands(100);
  storage().outstanding = 1;
  stands(19);
  EXPECT_EQ(verdict(), Verdict::alive);
  stands(2);
  EXPECT_EQ(verdict(), Verdict::storage_stalled);
}

TEST_F(WatchingClients, holds_nothing_against_a_client_that_tells_no_progress) {
  storage().stall_limit = Duration{};
  stands(500);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, says_alive_again_only_when_work_has_moved_for_its_limit) {
  works(10);
  stands(30);
  ASSERT_EQ(verdict(), Verdict::storage_stalled);
  works(10);
  stands(12);  // more than half the limit
  works(19);
  EXPECT_EQ(verdict(), Verdict::storage_stalled);
  works(3);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, a_count_that_goes_back_is_movement_too) {
  storage().completed = 1000;
  works(10);
  stands(15);
  storage().completed = 1;  // an overflow, or a client that counts anew
  stands(15);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, another_life_of_the_client_begins_anew) {
  works(10);
  stands(30);
  ASSERT_EQ(verdict(), Verdict::storage_stalled);
  storage().life = 78;
  stands(1);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, a_client_that_has_ended_is_not_waited_for) {
  works(10);
  stands(30);
  storage().state = ClientState::gone;
  stands(100);
  EXPECT_EQ(verdict(), Verdict::alive);
  EXPECT_EQ(watch_.assessment().hung_client, "");
}

TEST_F(WatchingClients, forgives_the_time_in_which_this_node_did_not_look) {
  works(100);
  now_ += seconds(5);
  stands(2);
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(WatchingClients, a_short_limit_is_never_below_the_floor) {
  storage().stall_limit = milliseconds(1);
  works(10);
  stands(5);
  EXPECT_EQ(verdict(), Verdict::alive);
  stands(2);
  EXPECT_EQ(verdict(), Verdict::storage_stalled);
}

TEST_F(WatchingClients, believes_no_page_without_the_sessions_mac) {
  works(10);
  proof_ = ccm::PageProof::handshake;
  storage().life = 99;
  stands(100);
  EXPECT_NE(verdict(), Verdict::storage_stalled);
}

TEST_F(WatchingClients, what_does_not_beat_at_all_is_not_called_stalled) {
  works(10);
  stands(30);
  ASSERT_EQ(verdict(), Verdict::storage_stalled);
  agent_beats_ = false;
  stands(10);
  EXPECT_EQ(verdict(), Verdict::agent_hung);
  ccm_beats_ = false;
  stands(10);
  EXPECT_EQ(verdict(), Verdict::hung);
}

TEST_F(WatchingClients, tells_a_client_whose_beat_stands_and_when_it_beats_again) {
  storage().outstanding = 0;
  works(100);
  EXPECT_EQ(watch_.assessment().hung_client, "");
  const Instant since = watch_.assessment().since;
  looks(5);
  EXPECT_EQ(watch_.assessment().hung_client, "");
  looks(10);
  EXPECT_EQ(watch_.assessment().hung_client, "target");
  EXPECT_EQ(verdict(), Verdict::alive);
  EXPECT_EQ(watch_.assessment().since, since);
  works(1);
  EXPECT_EQ(watch_.assessment().hung_client, "");
}

TEST_F(WatchingClients, a_node_that_hangs_as_a_whole_has_no_hung_client_neither_then_nor_after) {
  storage().outstanding = 0;
  works(100);
  ccm_beats_ = false;
  looks(50);
  ASSERT_EQ(verdict(), Verdict::hung);
  EXPECT_EQ(watch_.assessment().hung_client, "");
  ccm_beats_ = true;
  looks(2);  // the client's next beat is due later
  ASSERT_EQ(verdict(), Verdict::alive);
  EXPECT_EQ(watch_.assessment().hung_client, "");
  works(10);
  EXPECT_EQ(watch_.assessment().hung_client, "");
}

TEST_F(WatchingClients, a_hung_client_is_neither_back_nor_ended_while_its_node_is_not_seen) {
  storage().outstanding = 0;
  works(100);
  looks(20);
  ASSERT_EQ(watch_.assessment().hung_client, "target");
  waits(10);
  ASSERT_EQ(verdict(), Verdict::unreachable);
  EXPECT_EQ(watch_.assessment().hung_client, "target");
}

TEST_F(WatchingClients, a_client_that_only_looks_is_not_held_to_a_beat) {
  storage().outstanding = 0;
  storage().pace = Duration{};
  looks(500);
  EXPECT_EQ(watch_.assessment().hung_client, "");
}

}  // namespace
}  // namespace hapair::heartbeat
