// The program itself, against a real control socket.
#include "agent/cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "agent/cli/json.h"
#include "agent/shell/control_server.h"
#include "agent/shell/process.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::cli {
namespace {

using agent::OperatorCommand;
using testing::ElementsAre;
using testing::HasSubstr;

class Quiet final : public agent::RecordSink {
 public:
  void write(const agent::LoggedRecord&) override {}
};

// An agent that moves a pool as soon as it is told to.
class Handler final : public agent::ControlHandler {
 public:
  control::v1::StatusReply status() override {
    control::v1::StatusReply reply;
    reply.set_node("alpha");
    reply.set_partner("beta");
    reply.set_state("serving");
    if (adjust) adjust(reply);
    return reply;
  }
  control::v1::FleetReply fleet() override { return fleet_reply; }
  agent::CommandReply command(const OperatorCommand& command) override {
    commands.push_back(command);
    if (!refusal.empty()) return {false, refusal, 0};
    if (on_command) on_command();
    return {true, "begun", 7};
  }
  agent::CommandReply cluster_alert(const agent::ClusterAlert& alert) override {
    alerts.push_back(alert);
    return {refusal.empty(), refusal.empty() ? "recorded" : refusal, 0};
  }
  std::vector<agent::ClusterAlert> alerts;
  agent::CommandReply fence_partner(const std::string&, std::chrono::seconds limit) override {
    fence_limit = limit;
    return {refusal.empty(), refusal, 5};
  }
  std::chrono::seconds fence_limit{};
  std::function<void(control::v1::StatusReply&)> adjust;
  std::vector<OperatorCommand> commands;
  control::v1::FleetReply fleet_reply;
  std::string refusal;
  std::function<void()> on_command;
};

class TheHapairCommand : public testing::Test {
 protected:
  void SetUp() override {
    log_ = std::move(*agent::RecordLog::open(folder_.path(), 1U << 20, clock_, std::make_unique<Quiet>()));
    config_ = folder_.write("hapair.json", "{\"run_dir\": \"" + folder_.path() + "\"}");
  }
  void serve() {
    server_ = std::move(*agent::ControlServer::open(loop_.get(), clock_,
                                                    {.socket_path = folder_ / "hapair.sock",
                                                     .group = "",
                                                     .alert_socket_path = folder_ / "alerts.sock",
                                                     .alert_group = "",
                                                     .node = *NodeName::parse("alpha"),
                                                     .pools = {*PoolName::parse("pool-a"), *PoolName::parse("pool-b")}},
                                                    handler_, *log_));
  }
  void append(const char* kind, const char* text, const char* to) {
    agent::Record record{clock_.now(), agent::Severity::notice, kind, *PoolName::parse("pool-b"), 7, text,
                         {{"to", to}}};
    server_->publish(log_->append(std::move(record)));
  }
  agent::ProcessResult run(std::vector<std::string> arguments, const std::vector<std::string>& more = {}) {
    std::optional<agent::ProcessResult> result;
    agent::ProcessSpec spec{.argv = {HAPAIR_PROGRAM},
                            .environment = {"HAPAIR_CONFIG=" + config_, "PATH=/usr/bin:/bin"},
                            .input = "",
                            .timeout = std::chrono::seconds(30)};
    spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
    spec.environment.insert(spec.environment.end(), more.begin(), more.end());
    const auto running = runner_.run(spec, [&](agent::ProcessResult got) { result = std::move(got); });
    EXPECT_TRUE(loop_.run_until([&] { return result.has_value(); }, std::chrono::seconds(40)));
    return result.value_or(agent::ProcessResult{});
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  agent::SystemProcessRunner runner_{loop_.get(), clock_};
  Handler handler_;
  std::string config_;
  std::unique_ptr<agent::RecordLog> log_;
  std::unique_ptr<agent::ControlServer> server_;
};

TEST_F(TheHapairCommand, SaysWhatToDoWhereTheAgentDoesNotRun) {
  for (const char* name : {"status", "why", "events", "takeover", "giveback"}) {
    const auto result = run({name});
    EXPECT_EQ(result.code, 3) << name;
    EXPECT_THAT(result.err, HasSubstr("hapaird does not run on this node"));
    EXPECT_THAT(result.err, HasSubstr("systemctl start hapaird"));
  }
  EXPECT_EQ(Json::parse(run({"status", "--json"}).out)["error"].get<std::string>().substr(0, 20),
            "hapaird does not run");
}

TEST_F(TheHapairCommand, ShowsTheStatusWithoutColourWhereNobodyWatches) {
  serve();
  const auto result = run({"status"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("alpha: serving   (pair")) << result.out;
  EXPECT_EQ(Json::parse(run({"status", "--json"}).out)["state"], "serving");
}

TEST_F(TheHapairCommand, ShowsTheFleetAndIsNoFailureWhereThereIsNone) {
  serve();
  handler_.fleet_reply.set_problem("this node is in no fleet");
  const auto result = run({"fleet"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "this node is in no fleet\n");
  EXPECT_EQ(Json::parse(run({"fleet", "--json"}).out)["on"], false);
}

TEST_F(TheHapairCommand, SaysWhatWasWrongWithItsArguments) {
  const auto wrong = [this](std::vector<std::string> arguments) {
    const auto result = run(std::move(arguments));
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_THAT(wrong({"stauts"}), HasSubstr("there is no command \"stauts\"; did you mean \"status\"?"));
  EXPECT_THAT(wrong({"everything"}), HasSubstr("there is no command \"everything\"\n"));
  EXPECT_THAT(wrong({}), HasSubstr("which command?"));
  EXPECT_THAT(wrong({"--now", "status"}), HasSubstr("--now"));
  EXPECT_THAT(wrong({"why", "yesterday"}), HasSubstr("decision = yesterday\nSee: hapair why --help"));
}

TEST_F(TheHapairCommand, SaysThatNoRecordIsLikeWhatWasAskedFor) {
  serve();
  append("pool-state", "pool-b: elsewhere -> claiming", "claiming");
  EXPECT_EQ(run({"events", "--pool", "pool-b"}).err, "");
  const auto none = run({"events", "--pool", "pool-a"});
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, HasSubstr("no record is like that"));
}

TEST_F(TheHapairCommand, ShowsEventsAndWhy) {
  serve();
  EXPECT_EQ(run({"why"}).code, 1);
  append("pool-state", "pool-b: elsewhere -> claiming", "claiming");
  append("pool-state", "pool-b: starting -> serving", "serving");
  EXPECT_THAT(run({"events", "--last", "1"}).out, HasSubstr("pool-b: starting -> serving"));
  EXPECT_THAT(run({"why"}).out, HasSubstr("Decision 7 of alpha"));
  EXPECT_THAT(run({"why", "7"}).out, HasSubstr("2 steps in"));
  EXPECT_EQ(run({"why", "8"}).code, 1);
  const auto lines = run({"events", "--json"}).out;
  EXPECT_EQ(Json::parse(lines.substr(0, lines.find('\n')))["fields"]["to"], "claiming");
  EXPECT_EQ(Json::parse(run({"why", "--json"}).out)["records"].size(), 2U);
  EXPECT_EQ(run({"events", "--since", "1h"}).code, 0);
  EXPECT_EQ(run({"events", "--since", "yesterday"}).code, 2);
}

TEST_F(TheHapairCommand, GivesCommandsAndTheirRefusals) {
  serve();
  EXPECT_EQ(run({"takeover", "pool-b", "--force"}).out, "begun (decision 7; hapair why 7)\n");
  EXPECT_EQ(run({"giveback"}).code, 0);
  ASSERT_EQ(handler_.commands.size(), 2U);
  EXPECT_THAT(handler_.commands[0].pools, ElementsAre(1U));
  EXPECT_TRUE(handler_.commands[0].force);
  EXPECT_EQ(handler_.commands[1].kind, OperatorCommand::Kind::giveback);
  const auto unknown = run({"takeover", "pool-x"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_EQ(unknown.err, "hapair: refused: there is no pool pool-x; the pools of this pair: pool-a, pool-b\n");
  handler_.refusal = "beta is alive";
  const auto refused = run({"takeover", "--json"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(Json::parse(refused.out)["reason"], "beta is alive");
}

TEST_F(TheHapairCommand, ForbidsAllowsAndTakesTheOperatorsWord) {
  serve();
  EXPECT_EQ(run({"maintenance", "on", "--reason", "new cables", "--for", "2h"}).code, 0);
  EXPECT_EQ(run({"maintenance", "off"}).code, 0);
  EXPECT_EQ(run({"disable", "takeover", "--reason", "firmware"}).code, 0);
  EXPECT_EQ(run({"enable", "giveback"}).code, 0);
  EXPECT_EQ(run({"confirm-down", "beta"}).code, 0);
  ASSERT_EQ(handler_.commands.size(), 5U);
  EXPECT_EQ(handler_.commands[0].kind, OperatorCommand::Kind::inhibit);
  EXPECT_EQ(handler_.commands[0].what, agent::Inhibited::maintenance);
  EXPECT_EQ(handler_.commands[0].reason, "new cables");
  EXPECT_EQ(handler_.commands[0].length, std::chrono::hours(2));
  EXPECT_EQ(handler_.commands[1].kind, OperatorCommand::Kind::allow);
  EXPECT_EQ(handler_.commands[1].what, agent::Inhibited::maintenance);
  EXPECT_EQ(handler_.commands[2].what, agent::Inhibited::takeover);
  EXPECT_FALSE(handler_.commands[2].length);
  EXPECT_EQ(handler_.commands[3].kind, OperatorCommand::Kind::allow);
  EXPECT_EQ(handler_.commands[3].what, agent::Inhibited::giveback);
  EXPECT_EQ(handler_.commands[4].kind, OperatorCommand::Kind::confirm_down);
  EXPECT_EQ(handler_.commands[4].partner, "beta");
  for (const auto& wrong :
       std::vector<std::vector<std::string>>{{"maintenance"},
                                             {"maintenance", "now"},
                                             {"disable", "everything", "--reason", "x"},
                                             {"disable", "takeover", "--reason", "x", "--for", "0s"},
                                             {"disable", "takeover", "--reason", "x", "--for", "ever"},
                                             {"disable", "takeover", "--reason", "x", "--for", "49711d"},
                                             {"confirm-down"}}) {
    EXPECT_EQ(run(wrong).code, 2);
  }
  EXPECT_EQ(handler_.commands.size(), 5U);
}

TEST_F(TheHapairCommand, TellsTheAgentWhatPacemakerTellsItsAlertAgents) {
  const std::vector<std::string> lost{"CRM_alert_kind=node", "CRM_alert_node=beta", "CRM_alert_desc=lost"};
  const auto nobody = run({"cluster", "alert"}, lost);
  EXPECT_EQ(nobody.code, 3);
  EXPECT_THAT(nobody.err, HasSubstr("hapaird does not run on this node"));
  serve();
  const auto told = run({"cluster", "alert"}, lost);
  EXPECT_EQ(told.code, 0) << told.err;
  EXPECT_EQ(told.out, "recorded\n");
  ASSERT_EQ(handler_.alerts.size(), 1U);
  EXPECT_EQ(handler_.alerts[0].kind, agent::ClusterAlert::Kind::node);
  EXPECT_EQ(handler_.alerts[0].desc, "lost");
  const auto unknown = run({"cluster", "alert"}, {"CRM_alert_kind=weather"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.err,
            "hapair: this is no alert of Pacemaker's: CRM_alert_kind: found \"weather\"; allowed: node, fencing, "
            "resource, attribute, as Pacemaker gives it to its alert agents\n");
  EXPECT_EQ(run({"cluster", "alert"}).code, 2);
  EXPECT_EQ(handler_.alerts.size(), 1U);
  handler_.refusal = "the arbiter is \"none\"";
  const auto refused = run({"cluster", "alert", "--json"}, lost);
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(Json::parse(refused.out)["error"], "refused: the arbiter is \"none\"");
}

// Its socket's queue is full, or it never answers: Pacemaker has other alerts to give.
TEST_F(TheHapairCommand, GivesAnAgentThatHangsUpSoonWhenItHasAnAlert) {
  serve();
  std::optional<agent::ProcessResult> result;
  agent::ProcessSpec spec{
      .argv = {HAPAIR_PROGRAM, "cluster", "alert"},
      .environment = {"HAPAIR_CONFIG=" + config_, "CRM_alert_kind=node", "CRM_alert_node=beta", "CRM_alert_desc=lost"},
      .input = "",
      .timeout = std::chrono::seconds(30)};
  test::EventLoop other;  // the server's own stands still
  agent::SystemProcessRunner runner(other.get(), clock_);
  const auto running = runner.run(spec, [&](agent::ProcessResult got) { result = std::move(got); });
  ASSERT_TRUE(other.run_until([&] { return result.has_value(); }, std::chrono::seconds(40)));
  EXPECT_EQ(result->code, 1);
  EXPECT_THAT(result->err, HasSubstr("gave no answer for 3 s: it hangs"));
}

TEST_F(TheHapairCommand, WaitsForTheEndOfADecision) {
  serve();
  handler_.on_command = [this] {
    append("pool-state", "pool-b: elsewhere -> claiming", "claiming");
    append("pool-state", "pool-b: starting -> serving", "serving");
  };
  const auto good = run({"takeover", "pool-b", "--wait"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_TRUE(good.out.ends_with("pool-b is serving\n")) << good.out;
  handler_.on_command = [this] { append("pool-state", "pool-b: fencing -> elsewhere", "elsewhere"); };
  const auto bad = run({"takeover", "pool-b", "--wait", "--json"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_EQ(Json::parse(bad.out)["succeeded"], false);
}

TEST_F(TheHapairCommand, DoesNotResetWithoutBeingToldThatItIsCertain) {
  serve();
  EXPECT_EQ(run({"reset-state"}).code, 2);
  EXPECT_TRUE(handler_.commands.empty());
  EXPECT_EQ(run({"reset-state", "--yes"}).code, 0);
  EXPECT_EQ(handler_.commands.at(0).kind, OperatorCommand::Kind::reset_record);
}

TEST_F(TheHapairCommand, WaitsForAFenceThatWasBegunAndSaysHowItEnded) {
  serve();
  int asked = 0;
  handler_.adjust = [&](control::v1::StatusReply& reply) {
    reply.mutable_cluster_fence()->set_number(5);
    if (++asked < 3) return;
    reply.mutable_cluster_fence()->set_state(asked < 5 ? "taken" : "done");
    reply.mutable_cluster_fence()->set_reason(asked < 5 ? "" : "beta is seen in another life of its kernel");
  };
  const auto done = run({"cluster", "fence", "--node", "beta", "--timeout-s", "20"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("another life"));
  EXPECT_EQ(handler_.fence_limit, std::chrono::seconds(23));
  handler_.adjust = [](control::v1::StatusReply& reply) {
    reply.mutable_cluster_fence()->set_number(5);
    reply.mutable_cluster_fence()->set_state("failed");
    reply.mutable_cluster_fence()->set_reason("no rail to beta is connected");
  };
  const auto failed = run({"cluster", "fence", "--node", "beta"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("no rail to beta is connected"));
  handler_.adjust = [](control::v1::StatusReply& reply) {
    reply.mutable_cluster_fence()->set_number(6);
    reply.mutable_cluster_fence()->set_state("done");
  };
  const auto replaced = run({"cluster", "fence", "--node", "beta"});
  EXPECT_EQ(replaced.code, 1);
  EXPECT_THAT(replaced.err, HasSubstr("a later request took its place"));
}

TEST_F(TheHapairCommand, FencesNobodyButThePartner) {
  serve();
  const auto other = run({"cluster", "fence", "--node", "alpha"});
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("it is beta that alpha can reset"));
  EXPECT_EQ(run({"cluster", "fence"}).code, 2) << "nobody is reset for a slip of the keys";
  EXPECT_EQ(handler_.fence_limit, std::chrono::seconds(0)) << "nobody was asked";
  handler_.refusal = "the arbiter is \"none\"";
  EXPECT_THAT(run({"cluster", "fence", "--node", "beta"}).err, HasSubstr("refused: the arbiter is \"none\""));
  handler_.adjust = [](control::v1::StatusReply& reply) { reply.set_partner_in_cluster("beta.example"); };
  EXPECT_EQ(run({"cluster", "fence-list"}).out, "beta.example\n");
  EXPECT_THAT(run({"cluster", "power", "--node", "beta.example"}).err, HasSubstr("cannot be told"));
}

TEST_F(TheHapairCommand, TellsWhetherThePartnerCouldBeFenced) {
  serve();
  EXPECT_THAT(run({"cluster", "fence-monitor"}).err, HasSubstr("fence_hapair is for"));
  std::string handshake = "lost";
  handler_.adjust = [&](control::v1::StatusReply& reply) {
    reply.set_arbiter("pacemaker");
    reply.mutable_ccm()->set_running(true);
    reply.mutable_partner_status()->set_verdict("alive");
    reply.mutable_ccm()->add_rails()->set_handshake(handshake);
  };
  EXPECT_THAT(run({"cluster", "fence-monitor"}).err, HasSubstr("no rail to beta is connected"));
  handshake = "connected";
  EXPECT_EQ(run({"cluster", "fence-monitor"}).code, 0);
  EXPECT_EQ(run({"cluster", "power"}).code, 0);
}

TEST_F(TheHapairCommand, ChecksAConfiguration) {
  const auto bad = run({"check"});
  EXPECT_EQ(bad.code, 78);
  EXPECT_THAT(bad.err, HasSubstr(config_ + ": pair: found nothing; allowed: a text (this key is required)"));
  EXPECT_EQ(Json::parse(run({"check", "--json"}).out)["ok"], false);
  const std::string good =
      folder_.write("good.json",
                    "{\"pair\":\"lab\",\"node\":\"alpha\",\"partner\":\"beta\",\"ccm\":{\"rails\":[{\"name\":\"r0\","
                    "\"fabric\":\"shm\"}]},\"key_file\":\"" +
                        folder_.write("key", std::string(31, 'k')) +
                        "\",\"takeover\":{\"automatic\":false},\"pools\":[{\"name\":\"pool-a\",\"home\":\"alpha\","
                        "\"resources\":[{\"name\":\"nfs\",\"type\":\"systemd:nfs-server.service\"}]}]}");
  std::filesystem::permissions(folder_ / "key", std::filesystem::perms::owner_read);
  EXPECT_THAT(run({"check", good}).err, HasSubstr("found 31 bytes; allowed: at least 32"));
  std::filesystem::remove(folder_ / "key");
  folder_.write("key", std::string(32, 'k'));
  std::filesystem::permissions(folder_ / "key", std::filesystem::perms::owner_read);
  const std::string ok = run({"check", good}).out;
  EXPECT_TRUE(ok.starts_with(good + ": ok\n")) << ok;
  EXPECT_THAT(ok, HasSubstr("every rail is cut, both nodes live\n"));
  EXPECT_THAT(ok, HasSubstr("its own time        the claim is on this node's disk\n"));
  const Json json = Json::parse(run({"check", good, "--json"}).out);
  EXPECT_TRUE(json["ok"]);
  EXPECT_EQ(json["takeover"][0]["at_most_ms"], 40.0);
  EXPECT_FALSE(json["failures"][0]["by_itself"]);
}

TEST_F(TheHapairCommand, ChecksAContainersWatchdogBeforeTheContainerRuns) {
  folder_.write("key", std::string(32, 'k'));
  std::filesystem::permissions(folder_ / "key", std::filesystem::perms::owner_read);
  const std::string boot_id = folder_.write("boot-id", "0af76519-16cd-43dd-8448-eb211c80319c\n");
  const auto written = [&](const std::string& more, const std::string& boot) {
    return folder_.write("node.json",
                         "{\"pair\":\"lab\",\"node\":\"alpha\",\"partner\":\"beta\"," + boot +
                             "\"ccm\":{\"rails\":[{\"name\":\"r0\",\"fabric\":\"shm\"}],\"watchdog\":{\"device\":\"" +
                             (folder_ / "not-there-yet") + "\",\"timeout_ms\":4000" + more + "}},\"key_file\":\"" +
                             (folder_ / "key") +
                             "\",\"takeover\":{\"automatic\":false},\"pools\":[{\"name\":\"pool-a\",\"home\":\"alpha\","
                             "\"resources\":[{\"name\":\"web\",\"type\":\"systemd:web.service\"}]}]}");
  };
  const std::string own = "\"boot_id_file\":\"" + boot_id + "\",";
  EXPECT_THAT(run({"check", written("", "")}).err, HasSubstr("boot_id_file is the kernel's"));
  const std::string file = written("", own);
  EXPECT_THAT(run({"check", file}).out, HasSubstr("no lease rests on this watchdog"));
  EXPECT_FALSE(Json::parse(run({"check", file, "--json"}).out)["watchdog"]["fit_for_leases"]);
  written(",\"container_covers_pools\":true", own);
  const std::string promised = run({"check", file}).out;
  EXPECT_THAT(promised, HasSubstr("because " + file + " promises (ccm.watchdog.container_covers_pools)"));
  EXPECT_THAT(promised, HasSubstr("services of the host's kernel that resources set up: LIO targets"));
  EXPECT_TRUE(Json::parse(run({"check", file, "--json"}).out)["watchdog"]["fit_for_leases"]);
}

TEST_F(TheHapairCommand, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"frobnicate"}).code, 2);
  EXPECT_EQ(run({"phase", "sideways"}).code, 2);
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_EQ(run({"status", "--config", folder_ / "none.json"}).code, 78);
  EXPECT_EQ(run({"phase", "root"}).code, 3);
}

TEST(AnAge, IsANumberWithAUnit) {
  EXPECT_EQ(parse_length_us("30s"), 30'000'000);
  EXPECT_EQ(parse_length_us("10m"), 600'000'000);
  EXPECT_EQ(parse_length_us("2h"), 7'200'000'000);
  EXPECT_EQ(parse_length_us("1d"), 86'400'000'000);
  for (const char* bad : {"", "s", "10", "10x", "-1s", "1000000d", "10s ", "1.5h"})
    EXPECT_FALSE(parse_length_us(bad)) << bad;
}

}  // namespace
}  // namespace hapair::cli
