#include "agent/corosync/quorum_standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two nodes and a device, with Corosync's own times.
class Standing : public ::testing::Test {
 protected:
  Standing() {
    configuration_.cluster = "storage";
    configuration_.nodes = {{1, "alpha", 1}, {2, "beta", 1}};
    configuration_.device =
        QuorumDevice{.model = "net", .algorithm = "ffsplit", .host = "witness", .votes = 1, .timeout = seconds(10)};
    configuration_.token = seconds(3);
    configuration_.consensus = milliseconds(3600);
    votes_ = {.quorate = true, .quorum = 2, .total = 3, .device_votes = 1, .device_votes_now = true};
  }
  std::string refused() { return no_leases_on(configuration_, votes_, sides_); }

  QuorumConfiguration configuration_;
  QuorumVotes votes_;
  QuorumSides sides_{.self = "alpha", .partner = "beta", .lease = seconds(20)};
};

TEST_F(Standing, leases_rest_on_two_nodes_with_a_device) {
  EXPECT_THAT(refused(), IsEmpty());
  EXPECT_THAT(quorum_trouble(configuration_, votes_), IsEmpty());
  EXPECT_EQ(votes_text(configuration_, votes_), "quorate, 3 of 3 votes, 2 needed, with the quorum device's");
}

TEST_F(Standing, and_on_three_nodes_without_one_with_no_slack) {
  configuration_.device.reset();
  configuration_.nodes.push_back({3, "witness", 1});
  votes_.device_votes = 0;
  EXPECT_THAT(refused(), IsEmpty());
  EXPECT_EQ(vote_slack(configuration_, votes_), Duration{});
}

TEST_F(Standing, two_node_grants_nothing) {
  votes_.two_node = true;
  EXPECT_THAT(refused(), HasSubstr("two_node"));
}

TEST_F(Standing, two_nodes_alone_grant_nothing_for_the_survivor_would_stop_its_own) {
  configuration_.device.reset();
  votes_ = {.quorate = true, .quorum = 2, .total = 2};
  EXPECT_THAT(refused(), HasSubstr("when it dies nothing of Corosync's has quorum"));
}

TEST_F(Standing, a_node_without_a_name_grants_nothing) {
  configuration_.nodes[1].name.clear();
  EXPECT_THAT(refused(), HasSubstr("named beta"));
  EXPECT_FALSE(node_id_of(configuration_, "beta"));
  EXPECT_EQ(node_id_of(configuration_, "alpha"), 1U);
}

TEST_F(Standing, quorum_of_half_the_votes_grants_nothing) {
  votes_.quorum = 1;  // expected_votes set to 1 by hand
  EXPECT_THAT(refused(), HasSubstr("expected_votes"));
  configuration_.nodes.push_back({3, "witness", 1});
  votes_.quorum = 2;  // of four
  EXPECT_THAT(refused(), HasSubstr("expected_votes"));
}

TEST_F(Standing, a_device_that_may_vote_for_ever_grants_nothing) {
  for (const char* algorithm : {"lms", "2nodelms", "test"}) {
    configuration_.device->algorithm = algorithm;
    EXPECT_THAT(refused(), HasSubstr(algorithm));
  }
  configuration_.device->algorithm = "ffsplit";
  configuration_.device->model = "disk";
  EXPECT_THAT(refused(), HasSubstr("disk"));
}

TEST_F(Standing, a_tie_that_is_broken_for_whoever_starts_alone_grants_nothing) {
  votes_.auto_tie_breaker = true;
  EXPECT_THAT(refused(), HasSubstr("wait_for_all"));
  votes_.wait_for_all = true;
  EXPECT_THAT(refused(), IsEmpty());
}

TEST_F(Standing, a_lease_that_does_not_outlast_a_ring_that_is_formed_anew_is_none) {
  EXPECT_EQ(shortest_lease(configuration_), seconds(14));  // 1.5 x 0.8 x 10 s, and the looks before
  sides_.lease = milliseconds(13'999);
  EXPECT_THAT(refused(), HasSubstr("lease.duration_ms (13999)"));
  sides_.lease = seconds(14);
  EXPECT_THAT(refused(), IsEmpty());
  configuration_.device->timeout = seconds(2);
  EXPECT_EQ(shortest_lease(configuration_), milliseconds(8'600));
}

TEST_F(Standing, a_vote_is_counted_for_two_heartbeats_and_a_timeout) {
  EXPECT_EQ(vote_slack(configuration_, votes_), seconds(26));
  configuration_.device->timeout = seconds(1);  // corosync-qdevice asks no more often than every second
  EXPECT_EQ(vote_slack(configuration_, votes_), seconds(3));
  configuration_.device.reset();
  EXPECT_EQ(vote_slack(configuration_, votes_), seconds(26)) << "it is registered, whatever the configuration says now";
}

TEST_F(Standing, what_decides_is_the_same_on_both_nodes_and_no_more_when_anything_of_it_differs) {
  const std::string here = what_decides(configuration_, sides_);
  QuorumConfiguration there = configuration_;
  std::swap(there.nodes[0], there.nodes[1]);
  EXPECT_EQ(here, what_decides(there, {.self = "beta", .partner = "alpha", .lease = seconds(30)}));
  const auto differs = [&](auto change) {
    QuorumConfiguration other = configuration_;
    change(other);
    EXPECT_NE(here, what_decides(other, sides_));
  };
  differs([](QuorumConfiguration& other) { other.cluster = "another"; });
  differs([](QuorumConfiguration& other) { other.nodes[1].id = 3; });
  differs([](QuorumConfiguration& other) { other.nodes[1].votes = 2; });
  differs([](QuorumConfiguration& other) { other.nodes.push_back({3, "witness", 1}); });
  differs([](QuorumConfiguration& other) { other.device.reset(); });
  differs([](QuorumConfiguration& other) { other.device->timeout = seconds(9); });
  differs([](QuorumConfiguration& other) { other.device->algorithm = "lms"; });
  differs([](QuorumConfiguration& other) { other.device->host = "another"; });
}

TEST_F(Standing, a_device_that_does_not_vote_is_told) {
  votes_.device_votes_now = false;
  EXPECT_THAT(refused(), IsEmpty());
  EXPECT_THAT(quorum_trouble(configuration_, votes_), HasSubstr("gives no vote"));
  votes_.device_votes = 0;
  EXPECT_THAT(quorum_trouble(configuration_, votes_), HasSubstr("does not run here"));
}

}  // namespace
}  // namespace hapair::agent
