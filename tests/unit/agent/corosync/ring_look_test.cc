#include "agent/corosync/ring_look.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ALook : public ::testing::Test {
 protected:
  ALook() {
    look_.entered({1, 8}, {1, 2});
    look_.begin();
  }
  // The message that is due is sent, and comes back.
  RingLook::Came message() {
    const auto number = look_.to_send();
    EXPECT_TRUE(number);
    look_.sending(now_);
    now_ += milliseconds(2);
    return look_.came(number.value_or(0));
  }
  RingLook look_{seconds(1)};
  Instant now_ = Instant(seconds(10));
};

TEST_F(ALook, is_three_messages_and_began_with_the_first) {
  const Instant began = now_;
  EXPECT_EQ(message(), RingLook::Came::nothing);
  EXPECT_EQ(message(), RingLook::Came::second);
  EXPECT_EQ(message(), RingLook::Came::third);
  EXPECT_EQ(look_.began(), began);
  EXPECT_FALSE(look_.under_way());
  EXPECT_FALSE(look_.to_send());
}

TEST_F(ALook, sends_nothing_before_the_message_before_has_come_back) {
  const auto number = look_.to_send();
  look_.sending(now_);
  EXPECT_FALSE(look_.to_send());
  look_.came(*number);
  EXPECT_TRUE(look_.to_send());
}

TEST_F(ALook, sends_nothing_before_it_knows_its_ring) {
  RingLook look(seconds(1));
  look.begin();
  EXPECT_FALSE(look.to_send());
  look.entered({1, 8}, {1});
  EXPECT_TRUE(look.to_send());
}

TEST_F(ALook, begins_anew_with_another_ring_and_with_the_same_that_is_told_again) {
  for (const RingId ring : {RingId{1, 12}, RingId{1, 8}}) {
    for (int before = 0; before < RingLook::kMessages; ++before) {
      RingLook look(seconds(1));
      look.entered({1, 8}, {1, 2});
      look.begin();
      std::uint64_t number = 0;
      for (int i = 0; i < before; ++i) {
        number = *look.to_send();
        look.sending(now_);
        look.came(number);
      }
      number = *look.to_send();
      look.sending(now_);
      look.entered(ring, {1});
      EXPECT_EQ(look.came(number), RingLook::Came::nothing) << "it may have been delivered in the new ring";
      now_ += seconds(1);
      for (const auto came : {RingLook::Came::nothing, RingLook::Came::second, RingLook::Came::third}) {
        number = *look.to_send();
        look.sending(now_);
        EXPECT_EQ(look.came(number), came);
      }
      EXPECT_EQ(look.began(), now_);
    }
  }
}

TEST_F(ALook, begins_anew_where_a_message_does_not_come_back) {
  const auto lost = look_.to_send();
  look_.sending(now_);
  EXPECT_EQ(look_.patience_ends(), now_ + seconds(1));
  now_ += seconds(1);
  look_.tick(now_);
  EXPECT_EQ(look_.came(*lost), RingLook::Came::nothing) << "it is late, and of the look that was given up";
  message();
  message();
  EXPECT_EQ(message(), RingLook::Came::third);
  EXPECT_GE(look_.began(), Instant(seconds(11)));
}

TEST_F(ALook, of_which_a_message_was_refused_sends_it_again) {
  const auto number = look_.to_send();
  look_.sending(now_);
  look_.refused();
  EXPECT_EQ(look_.to_send(), number);
  now_ += milliseconds(50);
  const Instant began = now_;
  message();
  EXPECT_EQ(look_.began(), began);
}

TEST_F(ALook, takes_no_message_twice) {
  const auto number = look_.to_send();
  look_.sending(now_);
  look_.came(*number);
  look_.sending(now_);
  EXPECT_EQ(look_.came(*number), RingLook::Came::nothing);
}

TEST_F(ALook, is_over_with_the_connection_and_knows_no_ring_then) {
  look_.sending(now_);
  look_.disconnected();
  EXPECT_FALSE(look_.under_way());
  EXPECT_FALSE(look_.in_ring());
  EXPECT_FALSE(look_.has_member(2));
}

TEST_F(ALook, knows_who_is_in_its_ring) {
  EXPECT_TRUE(look_.has_member(2));
  look_.entered({1, 12}, {1, 3});
  EXPECT_FALSE(look_.has_member(2));
}

}  // namespace
}  // namespace hapair::agent
