#include "agent/cli/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cli/json.h"
#include "agent/cli/watchdog_text.h"

namespace hapair::cli {
namespace {

using control::v1::StatusReply;
using testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 100'000 * kSecond;

void add_resource(control::v1::PoolStatus& pool, const char* name, const char* type, const char* state) {
  auto& resource = *pool.add_resources();
  resource.set_name(name);
  resource.set_type(type);
  resource.set_state(state);
}

StatusReply serving() {
  StatusReply status;
  status.set_pair("lab");
  status.set_node("alpha");
  status.set_partner("beta");
  status.set_version("0.1.0");
  status.set_now_ns(kNow);
  status.set_started_ns(kNow - 192 * kSecond);
  status.set_state("serving");
  status.mutable_ccm()->set_running(true);
  status.mutable_ccm()->set_handshake("connected");
  auto& rail = *status.mutable_ccm()->add_rails();
  rail.set_name("ib0");
  rail.set_fabric("verbs");
  rail.set_handshake("connected");
  rail.set_connected_in_us(12'345);
  status.mutable_ccm()->set_phase("storage-active");
  auto& partner = *status.mutable_partner_status();
  partner.set_verdict("alive");
  partner.set_since_ns(kNow - 4000 * kSecond);
  partner.set_phase("storage-active");
  partner.set_agent("alive");
  partner.set_node_state("serving");
  partner.set_suspicion(0.104);
  auto& evidence = *partner.add_because();
  evidence.set_channel("rail 0");
  evidence.set_fact("the beats move");
  status.add_fence_devices("power");
  auto& own = *status.add_pools();
  own.set_name("pool-a");
  own.set_home("alpha");
  own.set_owner("alpha");
  own.set_epoch(3);
  own.set_state("serving");
  own.set_since_ns(kNow - 190 * kSecond);
  add_resource(own, "fs", "ocf:heartbeat:Filesystem", "running");
  add_resource(own, "ip", "ocf:heartbeat:IPaddr2", "running");
  auto& other = *status.add_pools();
  other.set_name("pool-b");
  other.set_home("beta");
  other.set_owner("beta");
  other.set_epoch(12);
  other.set_state("elsewhere");
  other.set_since_ns(kNow - 90'000 * kSecond);
  add_resource(other, "fs", "ocf:heartbeat:Filesystem", "stopped");
  return status;
}

TEST(StatusText, shows_networks_with_what_is_wrong_and_the_limits_in_force) {
  StatusReply status = serving();
  auto& mgmt = *status.mutable_ccm()->add_networks();
  mgmt.set_name("mgmt");
  mgmt.set_state("beats");
  mgmt.set_round_trip_ns(200'000);
  mgmt.set_round_trip_mean_ns(210'000);
  (*mgmt.mutable_refused())["unanswered"] = 1;
  (*mgmt.mutable_refused())["forged"] = 4;
  (*mgmt.mutable_refused())["foreign"] = 2;
  mgmt.set_foreign("node x of pair y");
  auto& lan = *status.mutable_ccm()->add_networks();
  lan.set_name("lan");
  lan.set_state("unsent");
  lan.set_send_error("Network is unreachable");
  auto& wan = *status.mutable_ccm()->add_networks();
  wan.set_name("wan");
  wan.set_state("one-way");
  auto& limit = *status.mutable_partner_status()->add_limits();
  limit.set_what("rails");
  limit.set_limit_us(30'000);
  limit.set_why("floor");
  const std::string shown = status_text(status, {});
  EXPECT_THAT(
      shown,
      HasSubstr("  mgmt         beats (UDP), round trip 0.21 ms; refused: 2 foreign (node x of pair y), 4 forged\n"));
  EXPECT_THAT(shown, HasSubstr("  lan          unsent (UDP): Network is unreachable\n"));
  EXPECT_THAT(shown, HasSubstr("  wan          one-way (UDP): the partner is heard, and does not hear this node\n"));
  EXPECT_THAT(shown, HasSubstr("silent after: rails 30.0 ms (floor)\n"));
}

TEST(StatusText, TellsWhatGuardsThisNodeAndForHowLongItIsFed) {
  StatusReply status = serving();
  auto& watchdog = *status.mutable_ccm()->mutable_watchdog();
  watchdog.set_device("/dev/watchdog0");
  watchdog.set_state("armed");
  watchdog.set_timeout_ms(5000);
  EXPECT_THAT(
      status_text(status, {}),
      HasSubstr(
          "watchdog       /dev/watchdog0 resets this node 5.0 s after its last feed; fed as long as ccmd runs\n"));
  watchdog.set_fed_until_ns(kNow + 3 * kSecond);
  watchdog.set_fed_for("hapaird");
  EXPECT_THAT(status_text(status, {}), HasSubstr("its last feed; fed for 3.0 s more, unless hapaird says otherwise\n"));
  watchdog.set_fed_until_ns(kNow - kSecond);
  EXPECT_THAT(status_text(status, {}), HasSubstr("not fed any more: the time of hapaird passed 1.0 s ago\n"));
}

TEST(StatusText, TellsThatAContainersWatchdogEndsTheContainer) {
  StatusReply status = serving();
  auto& watchdog = *status.mutable_ccm()->mutable_watchdog();
  watchdog.set_device("/run/hapair-watchdog");
  watchdog.set_state("armed");
  watchdog.set_timeout_ms(5000);
  watchdog.set_container(true);
  EXPECT_THAT(status_text(status, {}),
              HasSubstr("watchdog       /run/hapair-watchdog ends this container 5.0 s after its last feed; "));
}

TEST(WatchdogText, SaysWhatAContainersWatchdogDoesNotCover) {
  const std::string text = container_watchdog_text("/run/hapair-watchdog", "", {});
  EXPECT_THAT(text, HasSubstr("watchdog /run/hapair-watchdog: process 1 of this container"));
  for (const std::string_view limit : container_watchdog_limits()) {
    EXPECT_THAT(text, HasSubstr(std::string(limit.substr(0, 30)))) << limit;
  }
  EXPECT_THAT(text, HasSubstr("no lease rests on this watchdog"));
  EXPECT_THAT(container_watchdog_text("/run/hapair-watchdog", "/etc/node.json", {}),
              HasSubstr("because /etc/node.json promises"));
}

TEST(StatusText, TellsWhyAWatchdogDoesNotGuard) {
  StatusReply status = serving();
  auto& watchdog = *status.mutable_ccm()->mutable_watchdog();
  watchdog.set_device("/dev/watchdog0");
  watchdog.set_state("absent");
  watchdog.set_problem("/dev/watchdog0 cannot be opened: No such file or directory");
  EXPECT_THAT(status_text(status, {}),
              HasSubstr("watchdog       /dev/watchdog0 cannot be opened: No such file or directory\n"));
  watchdog.set_state("unfit");
  watchdog.set_timeout_ms(6000);
  watchdog.set_problem("too long");
  EXPECT_THAT(status_text(status, {}),
              HasSubstr("watchdog       too long; /dev/watchdog0 resets this node 6.0 s after"));
}

TEST(StatusText, TellsWhatASilentPartnerSaidLastAsOld) {
  StatusReply status = serving();
  EXPECT_THAT(status_text(status, {}), Not(HasSubstr("last known")));
  status.mutable_partner_status()->set_verdict("unreachable");
  const std::string text = status_text(status, {});
  EXPECT_THAT(text, HasSubstr("beta           unreachable for 1 h 6 min, suspicion 0.10\n"
                              "               last known: phase storage-active, agent alive, says serving\n"));
}

TEST(StatusText, OfAHealthyPairIsShort) {
  EXPECT_EQ(status_text(serving(), {}),
            "alpha: serving   (pair lab, hapaird 0.1.0, up 3 min 12 s)\n"
            "\n"
            "early channel  connected, this node in phase storage-active\n"
            "  ib0          connected (verbs), the handshake took 12.3 ms\n"
            "watchdog       none: nothing resets this node (ccm.watchdog)\n"
            "beta           alive for 1 h 6 min, phase storage-active, agent alive, says serving, suspicion 0.10\n"
            "               rail 0: the beats move\n"
            "fencing        by power\n"
            "\n"
            "POOL    HOME   OWNER  EPOCH  STATE      FOR\n"
            "pool-a  alpha  alpha      3  serving    3 min 10 s\n"
            "    running: fs, ip\n"
            "pool-b  beta   beta      12  elsewhere  1 d 1 h\n"
            "    stopped: fs\n");
}

TEST(StatusText, TellsWhatAnOperatorHasForbiddenByWhomAndForHowLong) {
  StatusReply status = serving();
  auto& takeover = *status.add_inhibitions();
  takeover.set_what("takeover");
  takeover.set_by("root (pid 7)");
  takeover.set_reason("firmware");
  takeover.set_left_ns(90 * kSecond);
  auto& partner = *status.add_inhibitions();
  partner.set_what("partner-maintenance");
  partner.set_by("beta");
  partner.set_reason("as its page says");
  EXPECT_THAT(
      status_text(status, {}),
      HasSubstr("held back      takes nothing over by itself, for another 1 min 30 s (root (pid 7): firmware)\n"
                "               its partner is in maintenance: its pools are left alone, until it is ended (beta: "
                "as its page says)\n"
                "fencing        by power\n"));
}

TEST(StatusText, OfATroubledPairSaysWhatIsWrongAndWhatToDo) {
  StatusReply status = serving();
  status.set_state("failed");
  status.set_reason("pool-a: a resource could not be started");
  status.set_to_do("repair the cause, then run: hapair takeover pool-a");
  status.mutable_ccm()->set_running(false);
  status.mutable_ccm()->set_problem("ccmd closed the socket");
  status.mutable_ccm()->set_refused_key(3);
  status.set_configuration_differs(true);
  auto& fence = *status.mutable_last_fence();
  fence.set_result("unknown");
  fence.set_device("power");
  fence.set_took_us(20'003'000);
  fence.set_when_ns(kNow - 5 * kSecond);
  fence.set_reason("power: \"off\" gave no answer");
  auto& own = *status.mutable_pools(0);
  own.set_state("failed");
  own.set_failed_here(true);
  own.set_claim(4);
  own.set_reason("a resource could not be started");
  own.mutable_resources(0)->set_state("failed");
  own.mutable_resources(0)->set_last_reason("OCF_ERR_GENERIC (1): cannot mount");
  own.mutable_resources(0)->set_restarts(2);
  own.mutable_resources(1)->set_state("stopped");
  own.mutable_resources(1)->set_busy("stop");
  auto& other = *status.mutable_pools(1);
  other.set_state("serving");
  other.set_owner("");
  other.set_giveback_due_ns(kNow + 8 * kSecond);
  EXPECT_EQ(status_text(status, {}),
            "alpha: failed   (pair lab, hapaird 0.1.0, up 3 min 12 s)\n"
            "  why          pool-a: a resource could not be started\n"
            "  to do        repair the cause, then run: hapair takeover pool-a\n"
            "\n"
            "early channel  ccmd closed the socket\n"
            "beta           alive for 1 h 6 min, phase storage-active, agent alive, says serving, suspicion 0.10\n"
            "               rail 0: the beats move\n"
            "               its configuration of the pools is another one: compare the two files\n"
            "fencing        by power; last: unknown by power after 20.0 s, 5.0 s ago (power: \"off\" gave no answer)\n"
            "\n"
            "POOL    HOME   OWNER  EPOCH  STATE    FOR\n"
            "pool-a  alpha  alpha      3  failed   3 min 10 s, claims epoch 4\n"
            "    a resource could not be started\n"
            "    fs  failed   ocf:heartbeat:Filesystem, restarted 2 times: OCF_ERR_GENERIC (1): cannot mount\n"
            "    ip  stopped  ocf:heartbeat:IPaddr2, stop runs\n"
            "pool-b  beta   ?         12  serving  1 d 1 h, goes home in 8.0 s\n"
            "    stopped: fs\n");
}

TEST(StatusText, CountsWhatWasRefused) {
  StatusReply status = serving();
  status.mutable_ccm()->set_refused_key(3);
  status.mutable_ccm()->set_refused_stale(1);
  EXPECT_THAT(status_text(status, {}), HasSubstr("\n  refused      3 by key, 1 as stale\n"));
}

TEST(StatusText, OfAnAgentThatKnowsNothingYetIsWhole) {
  StatusReply status;
  status.set_node("alpha");
  status.set_partner("beta");
  EXPECT_THAT(status_text(status, {}), HasSubstr("early channel  this node's CCM does not run\n"));
  EXPECT_THAT(
      status_text(status, {}),
      HasSubstr("fencing        no device: only a release, a reboot or hapair confirm-down permits a takeover\n"));
}

TEST(StatusText, RepeatsWhatWasWrongInTheInitramfs) {
  StatusReply status;
  status.mutable_ccm()->set_running(true);
  status.mutable_ccm()->add_early_boot_problems("key_file /etc/hapair/pair.key: No such file or directory");
  EXPECT_THAT(status_text(status, {}),
              HasSubstr("early boot     key_file /etc/hapair/pair.key: No such file or directory\n"));
}

TEST(StatusText, IsColouredOnlyWhereAsked) {
  EXPECT_EQ(status_text(serving(), {}).find('\x1b'), std::string::npos);
  EXPECT_THAT(status_text(serving(), {.colour = true, .width = 0}), HasSubstr("\x1b[32mserving\x1b[0m"));
}

TEST(StatusText, IsBrokenToTheWidthOfTheTerminal) {
  StatusReply status = serving();
  status.set_reason("this is a long reason that does not fit on one line of a narrow terminal");
  EXPECT_THAT(status_text(status, {.colour = false, .width = 50}),
              HasSubstr("  why          this is a long reason that does not\n"
                        "               fit on one line of a narrow\n"
                        "               terminal\n"));
}

TEST(StatusJson, HasNumbersAndEveryField) {
  const Json json = json_of(serving());
  EXPECT_EQ(json["now_ns"].dump(), "100000000000000");
  EXPECT_EQ(json["ccm"]["rails"][0]["connected_in_us"].dump(), "12345");
  EXPECT_EQ(json["ccm"]["running"].dump(), "true");
  EXPECT_EQ(json["pools"][0]["resources"][1]["name"], "ip");
  EXPECT_TRUE(json["pools"][0]["giveback_due_ns"].is_null());
  EXPECT_TRUE(json["last_fence"].is_null());
  EXPECT_EQ(json["fence_devices"].dump(), "[\"power\"]");
  EXPECT_EQ(json["to_do"], "");
}

TEST(DurationText, IsShort) {
  EXPECT_EQ(duration_text(-5), "0 ms");
  EXPECT_EQ(duration_text(850'000'000), "850 ms");
  EXPECT_EQ(duration_text(999'999'999), "999 ms");
  EXPECT_EQ(duration_text(59'990'000'000), "59.9 s");
  EXPECT_EQ(duration_text(60 * kSecond), "1 min 0 s");
  EXPECT_EQ(duration_text(3599 * kSecond), "59 min 59 s");
  EXPECT_EQ(duration_text(14'700 * kSecond), "4 h 5 min");
  EXPECT_EQ(duration_text(12 * 86'400 * kSecond), "12 d 0 h");
}

TEST(Wrapping, BreaksAtSpacesAndLeavesLongWordsWhole) {
  EXPECT_EQ(wrapped("aaa bbb", 2, 0), "aaa bbb");
  EXPECT_EQ(wrapped("aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbb", 2, 30),
            "aaaaaaaaaaaaaaaaaaaa\n  bbbbbbbbbbbbbbbbbbbb");
  EXPECT_EQ(wrapped(std::string(50, 'x') + " y", 2, 30), std::string(50, 'x') + "\n  y");
}

}  // namespace
}  // namespace hapair::cli
