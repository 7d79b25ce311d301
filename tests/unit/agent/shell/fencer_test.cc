#include "agent/shell/fencer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

// This node's CCM, as far as a fence by poison knows it.
class FakePoisoner final : public Poisoner {
 public:
  bool poison(OnNews on_news) override {
    if (!there) return false;
    ++orders;
    on_news_ = std::move(on_news);
    return true;
  }
  void withdraw_poison() override { on_news_ = nullptr; }
  void tell(ccm::PoisonProgress progress, ccm::PoisonReason reason = ccm::PoisonReason::none, bool lost = false) {
    const OnNews on_news = on_news_;
    PoisonNews news;
    news.progress = progress;
    news.reason = reason;
    news.own_ccm_lost = lost;
    if (on_news) on_news(news);
  }
  [[nodiscard]] bool waits() const { return on_news_ != nullptr; }

  bool there = true;
  int orders = 0;

 private:
  OnNews on_news_;
};

class AFencer : public testing::Test {
 protected:
  // A device whose agent is this script; it finds its input in $INPUT and the action in $ACTION.
  FenceDeviceConfig& add_device(const std::string& name, const std::string& body) {
    FenceDeviceConfig device;
    device.name = name;
    device.program = folder_.write_script(name, "INPUT=$(cat); ACTION=$(sed -n s/^action=//p <<<\"$INPUT\"); echo \"" +
                                                    name + " $ACTION\" >>" + (folder_ / "calls") + "\n" + body);
    device.options = {{"ip", "10.0.0.9"}, {"plug", "beta"}};
    device.timeout = std::chrono::seconds(20);
    config_.devices.push_back(device);
    return config_.devices.back();
  }
  FenceReport fence() {
    std::optional<FenceReport> report;
    steps_.clear();
    fencer_.fence(
        *NodeName::parse("beta"),
        [this](const FenceStep& step) {
          const std::string sentence = sentence_of(step);
          steps_.push_back(sentence.substr(0, sentence.find(" after ")));
        },
        [&](const FenceReport& given) { report = given; });
    EXPECT_FALSE(report) << "the answer came from inside fence()";
    EXPECT_TRUE(loop_.run_until([&] { return report.has_value(); }));
    EXPECT_TRUE(fencer_.idle());
    return report.value_or(FenceReport{});
  }
  std::string calls() { return test::content_of(folder_ / "calls"); }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  FencingConfig config_;
  FakePoisoner poisoner_;
  Fencer fencer_{runner_, loop_.get(), clock_, config_, poisoner_};
  std::vector<std::string> steps_;
};

TEST_F(AFencer, GivesADeviceItsArguments) {
  add_device("disks", "echo \"$@\" >" + (folder_ / "arguments") + "; [ $ACTION = status ] && exit 2; exit 0")
      .arguments = {"fence", "--", "/dev/one"};
  EXPECT_EQ(fence().result, FenceResult::confirmed);
  EXPECT_EQ(test::content_of(folder_ / "arguments"), "fence -- /dev/one\n");
}

TEST_F(AFencer, ConfirmsWhenTheDeviceSaysOffAfterwards) {
  add_device("power", "echo \"$INPUT\" >" + (folder_ / "input") + "; [ $ACTION = status ] && exit 2; exit 0");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::confirmed);
  EXPECT_EQ(report.device, "power");
  EXPECT_EQ(report.reason, "");
  EXPECT_EQ(calls(), "power off\npower status\n");
  EXPECT_EQ(test::content_of(folder_ / "input"), "action=status\nip=10.0.0.9\nplug=beta\n");
  EXPECT_THAT(steps_, ElementsAre("power: its agent runs", "power: reports success; it is asked for the status",
                                  "power: answered confirmed"));
}

TEST_F(AFencer, DoesNotAskForTheStatusAfterAReboot) {
  add_device("power", "exit 0").action = FenceAction::reboot;
  EXPECT_EQ(fence().result, FenceResult::confirmed);
  EXPECT_EQ(calls(), "power reboot\n");
}

TEST_F(AFencer, DoesNotBelieveADeviceThatLies) {
  add_device("power", "exit 0");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::failed);
  EXPECT_THAT(report.reason, HasSubstr("power: \"off\" succeeded, but \"status\" says that beta is still on"));
}

TEST_F(AFencer, TakesAStatusWithoutAnAnswerForUnknown) {
  add_device("power", "[ $ACTION = status ] && { echo no route >&2; exit 1; }; exit 0");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::unknown);
  EXPECT_EQ(report.reason, "power: \"off\" succeeded, but \"status\" answered exit code 1: no route");
}

TEST_F(AFencer, TakesAnAgentThatSaysNoForFailed) {
  add_device("power", "echo 'Unable to connect/login to fencing device' >&2; exit 1");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::failed);
  EXPECT_EQ(report.reason, "power: \"off\" answered exit code 1: Unable to connect/login to fencing device");
}

TEST_F(AFencer, TakesAnAgentThatHangsForUnknown) {
  add_device("power", "sleep 600").timeout = milliseconds(200);
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::unknown);
  EXPECT_THAT(report.reason, HasSubstr("power: \"off\" gave no answer ("));
}

TEST_F(AFencer, TakesAnAgentThatDiesForUnknown) {
  add_device("power", "kill -KILL $$");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::unknown);
  EXPECT_EQ(report.reason, "power: \"off\" was ended by SIGKILL");
}

TEST_F(AFencer, TakesAnExitCodeThatNobodyKnowsForUnknown) {
  add_device("power", "exit 42");
  EXPECT_EQ(fence().result, FenceResult::unknown);
}

TEST_F(AFencer, TriesTheNextDeviceUntilOneConfirms) {
  add_device("first", "exit 1");
  add_device("second", "sleep 600").timeout = milliseconds(200);
  add_device("third", "[ $ACTION = status ] && exit 2; exit 0");
  add_device("fourth", "exit 0");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::confirmed);
  EXPECT_EQ(report.device, "third");
  EXPECT_EQ(calls(), "first off\nsecond off\nthird off\nthird status\n");
}

TEST_F(AFencer, IsUnknownWhenOneDeviceWasAndNoneConfirmed) {
  add_device("first", "exit 42");
  add_device("second", "exit 1");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::unknown);
  EXPECT_EQ(report.device, "second");
  EXPECT_EQ(report.reason, "first: \"off\" answered exit code 42; second: \"off\" answered exit code 1");
  EXPECT_THAT(steps_, ElementsAre("first: its agent runs", "first: answered unknown", "second: its agent runs",
                                  "second: answered failed"));
}

TEST_F(AFencer, TakesAnAgentThatIsNotThereForFailed) {
  add_device("power", "exit 0").program = folder_ / "missing";
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::failed);
  EXPECT_THAT(report.reason, HasSubstr("missing could not be started: No such file or directory"));
}

TEST_F(AFencer, WaitsItsDelayFirst) {
  add_device("power", "exit 0").action = FenceAction::reboot;
  config_.devices[0].delay = milliseconds(50);
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::confirmed);
  EXPECT_THAT(steps_,
              ElementsAre("power: waits its configured delay", "power: its agent runs", "power: answered confirmed"));
}

TEST_F(AFencer, RunsNothingBeforeItsDelayIsOver) {
  add_device("power", "exit 0").action = FenceAction::reboot;
  config_.devices[0].delay = std::chrono::hours(1);
  fencer_.fence(
      *NodeName::parse("beta"), [this](const FenceStep& step) { steps_.push_back(sentence_of(step)); },
      [](const FenceReport&) { ADD_FAILURE() << "an answer before the delay was over"; });
  ASSERT_TRUE(loop_.run_until([this] { return !steps_.empty(); }));
  for (int turn = 0; turn < 5; ++turn) ASSERT_GE(sd_event_run(loop_.get(), 1000), 0);
  EXPECT_THAT(steps_, ElementsAre("power: waits its configured delay"));
  EXPECT_FALSE(fencer_.idle());
  fencer_.abandon();
}

TEST_F(AFencer, WithoutDevicesFails) {
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::failed);
  EXPECT_EQ(report.reason, "no fencing device is configured");
}

TEST_F(AFencer, MayBeAbandonedAndUsedAgain) {
  add_device("power", "[ -e " + (folder_ / "again") + " ] || sleep 600; exit 0").action = FenceAction::reboot;
  fencer_.fence(*NodeName::parse("beta"), nullptr, [](const FenceReport&) { FAIL() << "abandoned"; });
  EXPECT_FALSE(fencer_.idle());
  ASSERT_TRUE(loop_.run_until([&] { return calls() == "power reboot\n"; }));
  fencer_.abandon();
  EXPECT_TRUE(fencer_.idle());
  folder_.write("again", "");
  EXPECT_EQ(fence().result, FenceResult::confirmed);
}

TEST_F(AFencer, MayBeginTheNextRoundFromItsAnswer) {
  add_device("power", "exit 1");
  int rounds = 0;
  std::function<void(const FenceReport&)> again = [&](const FenceReport&) {
    if (++rounds < 3) fencer_.fence(*NodeName::parse("beta"), nullptr, again);
  };
  fencer_.fence(*NodeName::parse("beta"), nullptr, again);
  EXPECT_TRUE(loop_.run_until([&] { return rounds == 3; }));
  EXPECT_TRUE(fencer_.idle());
}

class AFencerByPoison : public AFencer {
 protected:
  AFencerByPoison() {
    FenceDeviceConfig device;
    device.name = "rails";
    device.kind = FenceKind::poison;
    device.timeout = std::chrono::seconds(20);
    config_.devices.push_back(device);
  }
  // A round in which the CCM tells this, one after the other.
  FenceReport fence_and_hear(const std::vector<PoisonNews>& all) {
    std::optional<FenceReport> report;
    steps_.clear();
    fencer_.fence(
        *NodeName::parse("beta"),
        [this](const FenceStep& step) {
          const std::string sentence = sentence_of(step);
          steps_.push_back(sentence.substr(0, sentence.find(" after ")));
        },
        [&](const FenceReport& given) { report = given; });
    EXPECT_TRUE(loop_.run_until([&] { return poisoner_.waits() || report.has_value(); }));
    for (const PoisonNews& news : all) poisoner_.tell(news.progress, news.reason, news.own_ccm_lost);
    EXPECT_TRUE(loop_.run_until([&] { return report.has_value(); }));
    EXPECT_FALSE(poisoner_.waits()) << "an order that is over is withdrawn";
    return report.value_or(FenceReport{});
  }
  static PoisonNews told(ccm::PoisonProgress progress) {
    PoisonNews news;
    news.progress = progress;
    return news;
  }
};

TEST_F(AFencerByPoison, ConfirmsWhatThePartnerItselfAnswers) {
  using ccm::PoisonProgress;
  const FenceReport report =
      fence_and_hear({told(PoisonProgress::written), told(PoisonProgress::accepted), told(PoisonProgress::stopped)});
  EXPECT_EQ(report.result, FenceResult::confirmed);
  EXPECT_TRUE(report.by_partner);
  EXPECT_EQ(report.device, "rails");
  EXPECT_THAT(steps_, ElementsAre("rails: the partner's ccmd is told to stop every pool there",
                                  "rails: the partner's ccmd has the order, and its agent is to stop the pools",
                                  "rails: answered confirmed"));
}

TEST_F(AFencerByPoison, NothingButThatAnswerConfirms) {
  using ccm::PoisonProgress;
  const std::pair<PoisonProgress, FenceResult> ends[] = {
      {PoisonProgress::cannot, FenceResult::unknown},    {PoisonProgress::lost, FenceResult::unknown},
      {PoisonProgress::restarted, FenceResult::unknown}, {PoisonProgress::rebooted, FenceResult::unknown},
      {PoisonProgress::no_rail, FenceResult::failed},    {PoisonProgress::not_known, FenceResult::failed}};
  for (const auto& [progress, result] : ends) {
    const FenceReport report = fence_and_hear({told(PoisonProgress::written), told(progress)});
    EXPECT_EQ(report.result, result) << report.reason;
    EXPECT_FALSE(report.by_partner);
    EXPECT_THAT(report.reason, HasSubstr("beta"));
  }
  EXPECT_THAT(fence_and_hear({told(PoisonProgress::not_known)}).reason, HasSubstr("does not know poison"));
  PoisonNews lost;
  lost.own_ccm_lost = true;
  EXPECT_EQ(fence_and_hear({told(PoisonProgress::accepted), lost}).result, FenceResult::unknown);
}

TEST_F(AFencerByPoison, IsUnknownWhereThePartnerDoesNotAnswerInTime) {
  config_.devices[0].timeout = milliseconds(50);
  const FenceReport report = fence_and_hear({told(ccm::PoisonProgress::accepted)});
  EXPECT_EQ(report.result, FenceResult::unknown);
  EXPECT_THAT(report.reason, HasSubstr("has not answered in time"));
}

TEST_F(AFencerByPoison, FailsWithoutTheOwnCcmAndGoesOnToTheNextDevice) {
  poisoner_.there = false;
  EXPECT_EQ(fence().result, FenceResult::failed);
  add_device("power", "[ $ACTION = status ] && exit 2; exit 0");
  const FenceReport report = fence();
  EXPECT_EQ(report.result, FenceResult::confirmed);
  EXPECT_EQ(report.device, "power");
  EXPECT_FALSE(report.by_partner);
  EXPECT_EQ(poisoner_.orders, 0);
}

TEST_F(AFencerByPoison, WithdrawsItsOrderWhereTheRoundIsAbandoned) {
  fencer_.fence(*NodeName::parse("beta"), nullptr, [](const FenceReport&) { ADD_FAILURE(); });
  ASSERT_TRUE(loop_.run_until([&] { return poisoner_.waits(); }));
  fencer_.abandon();
  EXPECT_FALSE(poisoner_.waits());
  EXPECT_TRUE(fencer_.idle());
}

}  // namespace
}  // namespace hapair::agent
