#include "agent/shell/cluster_teller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "ccm/base/fd.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::HasSubstr;

// A Corosync's keys, as its program answers for them: a folder of files. `refuse` names a key that cannot be written.
constexpr const char* kKeys =
    "keys=%s\n"
    "mkdir -p $keys\n"
    "case ${1:-} in\n"
    "  '') cd $keys; for key in *; do [ ! -e $key ] || cat $key; done ;;\n"
    "  -s) echo \"$2=$4\" >>$keys.log\n"
    "      [ $2 != \"$(cat $keys.refuse 2>/dev/null)\" ] || { echo \"Can't set key $2\" >&2; exit 1; }\n"
    "      echo \"$2 ($3) = $4\" >$keys/$2 ;;\n"
    "  -d) echo \"$2 is away\" >>$keys.log; rm $keys/$2 ;;\n"
    "esac\n";

class AClusterTeller : public testing::Test {
 protected:
  AClusterTeller() {
    config_.timeout = std::chrono::seconds(20);
    config_.consensus = std::chrono::milliseconds(500);
    std::string script = kKeys;
    script.replace(script.find("%s"), 2, keys());
    config_.cmapctl = folder_.write_script("cmapctl", script);
    config_.look_at_once = false;
  }
  void set(const std::string& key, const std::string& value, const std::string& type = "u32") {
    folder_.write("keys/" + key, key + " (" + type + ") = " + value + "\n");
  }
  [[nodiscard]] std::string keys() const { return folder_.path() + "/keys"; }
  MembershipLook::Parts parts(Duration after = std::chrono::milliseconds(1)) {
    return {.loop = loop_.get(), .clock = &clock_, .runner = &runner_, .config = &config_, .after = after, .pause = {}};
  }
  ClusterTold tell(const std::string& program, ClusterWord word) {
    config_.stonith_admin = program;
    std::optional<ClusterTold> answer;
    ClusterTeller teller(parts(), beta_, [&](const ClusterTold& told) { answer = told; }, [](const std::string&) {});
    teller.tell(word);
    EXPECT_FALSE(answer) << "the answer came from inside tell()";
    EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
    return answer.value_or(ClusterTold{});
  }
  [[nodiscard]] std::string log() const { return read_file(keys() + ".log", 4096).value_or(""); }
  [[nodiscard]] bool put_back() const { return log().find("hapair-look.consensus is away") != std::string::npos; }
  // One look to its end, and until what it lowered is put back.
  std::string look() {
    config_.look_at_once = true;
    std::optional<ClusterTold> answer;
    ClusterTeller teller(
        parts(), beta_, [&](const ClusterTold& told) { answer = told; },
        [&](const std::string& sentence) { trouble_ = sentence; });
    teller.tell(ClusterWord::look);
    EXPECT_TRUE(loop_.run_until([&] { return answer && (put_back() || !trouble_.empty()); }));
    EXPECT_TRUE(answer && answer->word == ClusterWord::look && answer->done == answer->said.empty());
    return answer ? answer->said : "";
  }

  NodeName beta_ = *NodeName::parse("beta");
  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  PacemakerConfig config_;
  std::string trouble_;
};

TEST_F(AClusterTeller, AsksForAFenceAndConfirmsADeathByTheNodesNameInTheCluster) {
  const std::string program = folder_.write_script("stonith_admin", "echo \"$@\" >&2; exit 1");
  EXPECT_EQ(tell(program, ClusterWord::fence).said, "--reboot beta");
  EXPECT_EQ(tell(program, ClusterWord::down).said, "--confirm beta");
  config_.partner_node = "beta.example";
  const ClusterTold told = tell(program, ClusterWord::down);
  EXPECT_EQ(told.said, "--confirm beta.example");
  EXPECT_EQ(told.word, ClusterWord::down);
  EXPECT_FALSE(told.done);
  EXPECT_EQ(log(), "") << "Corosync is not to look";
}

TEST_F(AClusterTeller, SaysThatItIsDoneOnlyWhereTheProgramSaysSo) {
  EXPECT_TRUE(tell(folder_.write_script("good", "exit 0"), ClusterWord::fence).done);
  EXPECT_FALSE(tell(folder_.write_script("bad", "exit 7"), ClusterWord::fence).done);
  EXPECT_THAT(tell(folder_.write_script("bad", "exit 7"), ClusterWord::fence).said, HasSubstr("exit code 7"));
  const ClusterTold none = tell("/nowhere/stonith_admin", ClusterWord::fence);
  EXPECT_FALSE(none.done);
  EXPECT_FALSE(none.said.empty());
}

TEST_F(AClusterTeller, EndsARequestThatALaterOneReplaces) {
  config_.stonith_admin = folder_.write_script("slow", "[ \"$1\" = --confirm ] || sleep 60");
  std::vector<ClusterTold> answers;
  ClusterTeller teller(
      parts(), beta_, [&](const ClusterTold& told) { answers.push_back(told); }, [](const std::string&) {});
  teller.tell(ClusterWord::fence);
  teller.tell(ClusterWord::down);
  EXPECT_TRUE(loop_.run_until([&] { return !answers.empty(); }));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].word, ClusterWord::down);
  EXPECT_TRUE(answers[0].done);
}

TEST_F(AClusterTeller, HasCorosyncLookBeforeItSaysMoreAndSaysTheLatestWord) {
  config_.look_at_once = true;
  config_.stonith_admin =
      folder_.write_script("stonith_admin", "echo \"$1 after $(grep -c gather " + keys() + ".log)\" >&2; exit 1");
  std::vector<ClusterTold> answers;
  ClusterTeller teller(
      parts(), beta_, [&](const ClusterTold& told) { answers.push_back(told); }, [](const std::string&) {});
  teller.tell(ClusterWord::look);
  teller.tell(ClusterWord::down);
  EXPECT_TRUE(loop_.run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[0].word, ClusterWord::look);
  EXPECT_TRUE(answers[0].done) << answers[0].said;
  EXPECT_EQ(answers[1].word, ClusterWord::down);
  EXPECT_EQ(answers[1].said, "--confirm after 1") << "one look is enough for both";
}

TEST_F(AClusterTeller, PutsBackWhatItLoweredForALook) {
  EXPECT_EQ(look(), "");
  EXPECT_EQ(log(),
            "hapair-look.consensus=0 500\ntotem.consensus=500\nruntime.force_gather=yes\n"
            "totem.consensus is away\nhapair-look.consensus is away\n");
}

TEST_F(AClusterTeller, PutsBackWhatTheOperatorHadSet) {
  set("totem.consensus", "3600");
  EXPECT_EQ(look(), "");
  EXPECT_EQ(log(),
            "hapair-look.consensus=3600 500\ntotem.consensus=500\nruntime.force_gather=yes\n"
            "totem.consensus=3600\nhapair-look.consensus is away\n");
}

TEST_F(AClusterTeller, LowersNothingThatIsLowEnoughOrThatItCouldNotPutBack) {
  set("totem.consensus", "400");
  config_.look_at_once = true;
  std::optional<ClusterTold> answer;
  ClusterTeller teller(parts(), beta_, [&](const ClusterTold& told) { answer = told; }, [](const std::string&) {});
  teller.tell(ClusterWord::look);
  EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
  EXPECT_EQ(log(), "runtime.force_gather=yes\n");
  set("totem.consensus", "3600");
  folder_.write("keys.refuse", "hapair-look.consensus\n");
  answer.reset();
  teller.tell(ClusterWord::look);
  EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
  EXPECT_EQ(log(), "runtime.force_gather=yes\nhapair-look.consensus=3600 500\nruntime.force_gather=yes\n");
}

TEST_F(AClusterTeller, SaysWhyCorosyncDoesNotLook) {
  folder_.write("keys.refuse", "runtime.force_gather\n");
  EXPECT_EQ(look(), "Can't set key runtime.force_gather");
  EXPECT_TRUE(put_back());
}

TEST_F(AClusterTeller, PutsBackWhatAnAgentBeforeItLeftLowered) {
  set("totem.consensus", "500");
  set("hapair-look.consensus", "3600 500", "str");
  config_.look_at_once = true;
  ClusterTeller teller(parts(), beta_, [](const ClusterTold&) {}, [](const std::string&) {});
  teller.take_up();
  EXPECT_TRUE(loop_.run_until([&] { return put_back(); }));
  EXPECT_EQ(log(), "totem.consensus=3600\nhapair-look.consensus is away\n");
}

TEST_F(AClusterTeller, PutsNothingBackIntoACorosyncThatHasRestarted) {
  config_.look_at_once = true;
  std::optional<ClusterTold> answer;
  ClusterTeller teller(
      parts(std::chrono::milliseconds(50)), beta_, [&](const ClusterTold& told) { answer = told; },
      [&](const std::string& sentence) { trouble_ = sentence; });
  teller.tell(ClusterWord::look);
  EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
  const std::string before = log();
  EXPECT_THAT(before, HasSubstr("totem.consensus=500\nruntime.force_gather=yes\n"));
  std::filesystem::remove_all(keys());
  EXPECT_FALSE(loop_.run_until([&] { return log() != before || !trouble_.empty(); }, std::chrono::seconds(1)));
}

TEST_F(AClusterTeller, LeavesWhatSomebodyHasSetMeanwhile) {
  set("totem.consensus", "9000");
  set("hapair-look.consensus", "3600 500", "str");
  ClusterTeller teller(parts(), beta_, [](const ClusterTold&) {}, [](const std::string&) {});
  teller.take_up();
  EXPECT_TRUE(loop_.run_until([&] { return put_back(); }));
  EXPECT_EQ(log(), "hapair-look.consensus is away\n");
}

TEST_F(AClusterTeller, LooksAlsoWhileItWaitsToAskAgainWhatWasLeft) {
  config_.look_at_once = true;
  config_.timeout = std::chrono::milliseconds(200);
  const std::string good = std::exchange(config_.cmapctl, folder_.write_script("hangs", "sleep 60"));
  std::optional<ClusterTold> answer;
  ClusterTeller teller(
      parts(std::chrono::seconds(60)), beta_, [&](const ClusterTold& told) { answer = told; },
      [](const std::string&) {});
  teller.take_up();
  EXPECT_FALSE(loop_.run_until([] { return false; }, std::chrono::seconds(1))) << "it was not answered in time";
  config_.cmapctl = good;
  config_.timeout = std::chrono::seconds(20);
  teller.tell(ClusterWord::look);
  EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer && answer->done);
  EXPECT_THAT(log(), HasSubstr("runtime.force_gather=yes"));
}

TEST_F(AClusterTeller, LooksAgainOnlyAfterAPause) {
  config_.look_at_once = true;
  auto with_pause = parts(std::chrono::seconds(60));
  with_pause.pause = std::chrono::seconds(60);
  std::vector<ClusterTold> answers;
  ClusterTeller teller(
      with_pause, beta_, [&](const ClusterTold& told) { answers.push_back(told); }, [](const std::string&) {});
  teller.tell(ClusterWord::look);
  EXPECT_TRUE(loop_.run_until([&] { return answers.size() == 1; }));
  EXPECT_TRUE(answers[0].done) << answers[0].said;
  const std::string before = log();
  teller.tell(ClusterWord::look);
  EXPECT_EQ(answers.size(), 1U) << "the answer came from inside tell()";
  EXPECT_TRUE(loop_.run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[1].said, "it has looked just before");
  EXPECT_EQ(log(), before);
}

TEST_F(AClusterTeller, TellsAnOperatorWhatItCannotPutBack) {
  set("totem.consensus", "500");
  set("hapair-look.consensus", "3600 500", "str");
  folder_.write("keys.refuse", "totem.consensus\n");
  EXPECT_EQ(look(), "") << "the look itself needs only the other key";
  EXPECT_THAT(trouble_, HasSubstr("could not be put back: Can't set key totem.consensus. If Corosync runs"));
}

}  // namespace
}  // namespace hapair::agent
