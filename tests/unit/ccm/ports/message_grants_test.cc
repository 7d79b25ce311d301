#include "ccm/ports/message_grants.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <random>

namespace hapair::ccm {
namespace {

constexpr std::uint64_t kGrantable = kMessageSlots - MessageGrants::kReserved;

MessageGrants opened(std::uint32_t exposure, std::size_t buffers = kMessageSlots) {
  MessageGrants grants;
  grants.opened(exposure);
  for (std::size_t i = 0; i < buffers; ++i) grants.buffer_posted();
  return grants;
}

// ---- what an end grants --------------------------------------------------------------------------------------------

TEST(MessageGrantsOfThisEnd, AreItsBuffersWithoutTheReserve) {
  const MessageGrants grants = opened(7);
  EXPECT_EQ(grants.grant().exposure, 7U);
  EXPECT_EQ(grants.grant().total, kGrantable);
  EXPECT_EQ(opened(7, MessageGrants::kReserved).grant().total, 0U);
  EXPECT_EQ(opened(7, 1).grant().total, 0U);
}

TEST(MessageGrantsOfThisEnd, AreARunningTotalThatAMessageAloneDoesNotRaise) {
  MessageGrants grants = opened(7);
  grants.buffer_filled();
  grants.heard(1);
  EXPECT_EQ(grants.grant().total, kGrantable) << "one more was sent, one buffer less is there";
  grants.buffer_posted();
  EXPECT_EQ(grants.grant().total, kGrantable + 1);
}

TEST(MessageGrantsOfThisEnd, MakeGoodWhatWasSentAndNeverArrived) {
  MessageGrants grants = opened(7);
  grants.heard(5);
  EXPECT_EQ(grants.grant().total, kGrantable + 5) << "five went down with a connection; their buffers are still there";
}

TEST(MessageGrantsOfThisEnd, AreToldAtOnceOverANewWayAndThenWhenTheyAreWorthAMessage) {
  MessageGrants grants = opened(7);
  EXPECT_TRUE(grants.worth_telling());
  grants.told(grants.grant());
  EXPECT_FALSE(grants.worth_telling());
  for (std::uint64_t i = 1; i <= MessageGrants::kWorthTelling; ++i) {
    EXPECT_FALSE(grants.worth_telling());
    grants.buffer_filled();
    grants.heard(i);
    grants.buffer_posted();
  }
  EXPECT_TRUE(grants.worth_telling());
  grants.told(grants.grant());
  EXPECT_FALSE(grants.worth_telling());
  grants.untold();
  EXPECT_TRUE(grants.worth_telling());
}

TEST(MessageGrantsOfThisEnd, AreNoneWhileItsMemoryIsClosed) {
  MessageGrants grants = opened(7);
  grants.closed();
  EXPECT_FALSE(grants.worth_telling());
}

TEST(MessageGrantsOfThisEnd, BeginAnewWithTheNextExposure) {
  MessageGrants grants = opened(7);
  grants.heard(100);
  const auto before = grants.grant();
  grants.told(before);
  grants.opened(8);
  grants.buffer_posted();
  EXPECT_EQ(grants.grant().exposure, 8U);
  EXPECT_EQ(grants.grant().total, 0U);
  grants.told(before);
  EXPECT_TRUE(grants.worth_telling()) << "what was told of another exposure counts for nothing";
}

// ---- what an end was granted ---------------------------------------------------------------------------------------

TEST(MessageGrantsOfThePartner, AllowSoManyMessagesInAll) {
  MessageGrants grants;
  EXPECT_FALSE(grants.may_send());
  grants.reaches(3);
  EXPECT_FALSE(grants.may_send()) << "nothing was granted yet";
  grants.granted({3, 2});
  for (std::uint64_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(grants.may_send());
    grants.sent();
    EXPECT_EQ(grants.total_sent(), i + 1);
  }
  EXPECT_FALSE(grants.may_send());
  grants.granted({3, 3});
  EXPECT_TRUE(grants.may_send());
}

TEST(MessageGrantsOfThePartner, DoNotShrink) {
  MessageGrants grants;
  grants.reaches(3);
  grants.granted({3, 2});
  grants.granted({3, 1});
  grants.sent();
  EXPECT_TRUE(grants.may_send());
}

TEST(MessageGrantsOfThePartner, HoldForOneExposure) {
  MessageGrants grants;
  grants.granted({3, 9});
  grants.reaches(4);
  EXPECT_FALSE(grants.may_send());
  grants.granted({4, 1});
  EXPECT_TRUE(grants.may_send()) << "a grant may come before the connection is up";
}

TEST(MessageGrantsOfThePartner, CountOnOverANewConnectionIntoTheSameExposure) {
  MessageGrants grants;
  grants.reaches(3);
  grants.granted({3, 2});
  grants.sent();
  grants.sent();
  grants.reaches(3);
  EXPECT_FALSE(grants.may_send()) << "what was sent before may lie in the partner's buffers";
  EXPECT_EQ(grants.total_sent(), 2U);
  grants.reaches(4);
  EXPECT_EQ(grants.total_sent(), 0U);
}

TEST(MessageGrantsOfThePartner, AreForgottenWithTheExposureTheyCameInBy) {
  MessageGrants grants = opened(1);
  grants.reaches(3);
  grants.granted({3, 1000});
  grants.opened(2);  // the partner's CCM was restarted, and its numbers begin anew
  grants.reaches(3);
  EXPECT_FALSE(grants.may_send());
  grants.granted({3, 1000});
  grants.closed();
  EXPECT_FALSE(grants.may_send());
}

// ---- two ends, and what may go wrong between them
// --------------------------------------------------------------------

struct Message {
  bool data = false;
  MessageGrants::Grant grant;
  std::uint64_t sent = 0;
};

// An end with its client, and its way to the other.
struct End {
  MessageGrants grants;
  std::uint32_t exposure = 0;
  std::uint64_t posted = 0;    // buffers, those that hold a message which was not looked at yet among them
  std::uint64_t unread = 0;    // messages that the client holds
  std::deque<Message> taken;   // in posted buffers
  std::deque<Message> on_way;  // to the other end
  bool grant_on_way = false;
  std::uint64_t sent = 0;
  std::uint64_t read = 0;

  void open(std::uint32_t number) {
    exposure = number;
    taken.clear();
    grants.opened(number);
    posted = 0;
    for (std::uint64_t i = unread; i < kMessageSlots; ++i) post();
  }
  void post() {
    grants.buffer_posted();
    ++posted;
  }
};

class TwoEnds {
 public:
  explicit TwoEnds(std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < 2; ++i) renew_exposure(i);
  }

  // Now and then another stretch begins, in which each end and its client do some things often and others not at all.
  void step(bool faults) {
    if (draw(100) == 0) draw_rates();
    const std::size_t i = draw(2);
    if (faults && draw(200) == 0) return go_wrong(i);
    const std::size_t what = draw(kActions);
    if (draw(10) < rates_.at(i).at(what)) act(i, what);
  }
  // As it goes where nobody is slow.
  void step_evenly() { act(draw(2), draw(kActions)); }
  [[nodiscard]] const End& end(std::size_t i) const { return ends_.at(i); }
  [[nodiscard]] bool overrun() const { return overrun_; }

 private:
  static constexpr std::size_t kActions = 5;

  std::uint64_t draw(std::uint64_t below) { return random_() % below; }
  void draw_rates() {
    for (auto& of_end : rates_) {
      for (std::uint64_t& rate : of_end) rate = draw(3) * 5;
    }
  }
  void act(std::size_t i, std::size_t what) {
    switch (what) {
      case 0:
        return send(ends_.at(i));
      case 1:
        return tell(ends_.at(i));
      case 2:
        return carry(i);
      case 3:
        return look(ends_.at(i));
      default:
        return release(ends_.at(i));
    }
  }
  void go_wrong(std::size_t i) {
    switch (draw(6)) {
      case 0:
        return renew_exposure(i);
      case 1:
        return restart(i);
      default:
        return lose(i);
    }
  }
  static void put(End& from, bool data) {
    if (data) from.grants.sent();
    const auto grant = from.grants.grant();
    from.on_way.push_back({data, grant, from.grants.total_sent()});
    from.grants.told(grant);
  }
  static void send(End& from) {
    if (!from.grants.may_send()) return;
    put(from, true);
    ++from.sent;
  }
  static void tell(End& from) {
    if (from.grant_on_way || !from.grants.worth_telling()) return;
    put(from, false);
    from.grant_on_way = true;
  }
  // One message gets into a buffer of the other end: there has to be one.
  void carry(std::size_t i) {
    End& from = ends_.at(i);
    End& to = ends_.at(1 - i);
    if (from.on_way.empty()) return;
    overrun_ |= to.taken.size() >= to.posted;
    to.taken.push_back(from.on_way.front());
    from.on_way.pop_front();
    if (!to.taken.back().data) from.grant_on_way = false;
  }
  static void look(End& at) {
    if (at.taken.empty()) return;
    const Message message = at.taken.front();
    at.taken.pop_front();
    --at.posted;
    at.grants.buffer_filled();
    at.grants.heard(message.sent);
    at.grants.granted(message.grant);
    if (message.data) {
      ++at.unread;
    } else {
      at.post();
    }
  }
  static void release(End& at) {
    if (at.unread == 0) return;
    --at.unread;
    ++at.read;
    at.post();
  }
  // Its connection ends, with what was on its way, and a new one leads into the same exposure.
  void lose(std::size_t i) {
    End& from = ends_.at(i);
    End& to = ends_.at(1 - i);
    while (!to.taken.empty()) look(to);
    from.on_way.clear();
    from.grant_on_way = false;
    from.grants.reaches(to.exposure);
    from.grants.untold();
  }
  void renew_exposure(std::size_t i) {
    ends_.at(i).open(ends_.at(i).exposure + 1);
    lose(1 - i);
  }
  // Its CCM and client begin anew, and number as they did before; the other end notices, and opens itself anew.
  void restart(std::size_t i) {
    ends_.at(i) = {};
    ends_.at(i).open(1);
    ends_.at(1 - i).open(ends_.at(1 - i).exposure + 1);
    lose(i);
    lose(1 - i);
  }

  std::mt19937_64 random_;
  std::array<End, 2> ends_;
  std::array<std::array<std::uint64_t, kActions>, 2> rates_{{{5, 5, 5, 5, 5}, {5, 5, 5, 5, 5}}};
  bool overrun_ = false;
};

TEST(MessageGrantsOfTwoEnds, NeverOverrunABufferAndNeverStandStill) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    TwoEnds ends(seed);
    for (int i = 0; i < 5000; ++i) {
      ends.step(true);
      ASSERT_FALSE(ends.overrun()) << "seed " << seed << ", step " << i;
    }
    const std::array before{ends.end(0).read, ends.end(1).read};
    for (int i = 0; i < 10'000; ++i) {
      ends.step_evenly();
      ASSERT_FALSE(ends.overrun()) << "seed " << seed << ", after the faults, step " << i;
    }
    for (std::size_t i = 0; i < 2; ++i) EXPECT_GT(ends.end(i).read, before.at(i) + 100) << "seed " << seed;
  }
}

}  // namespace
}  // namespace hapair::ccm
