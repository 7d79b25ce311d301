#include "agent/cli/commands.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "agent/cli/answer.h"
#include "agent/cli/decision_watch.h"
#include "agent/cli/fleet_text.h"
#include "agent/cli/forecast_text.h"
#include "agent/cli/json.h"
#include "agent/cli/quorum_look.h"
#include "agent/cli/rails_text.h"
#include "agent/cli/record_text.h"
#include "agent/cli/reservation_look.h"
#include "agent/cli/status_text.h"
#include "agent/cli/watchdog_text.h"
#include "agent/config/agent_config.h"
#include "ccm/client/client.h"
#include "ccm/config/pair_config.h"
#include "ccm/watchdog/configured_watchdog.h"

namespace hapair::cli {

std::expected<std::string, Failure> run_dir_of(const Common& common) {
  const auto document = ccm::load_document(common.config);
  if (!document) {
    return std::unexpected(Failure{Exit::configuration, document.error().lines().front() +
                                                            " (give another file with --config, or the agent's "
                                                            "socket with --socket)"});
  }
  ccm::ConfigProblems problems(common.config);
  ccm::ConfigObject root(&*document, "", problems);
  std::string run_dir = root.text("run_dir", "/run/hapair");
  if (!problems.empty()) return std::unexpected(Failure{Exit::configuration, problems.lines().front()});
  return run_dir;
}

namespace {

using control::v1::Request;

constexpr std::uint32_t kEventsShown = 50;
constexpr Duration kPatience = std::chrono::seconds(2);  // with the CCM

Style style_of_terminal() {
  Style style;
  if (::isatty(STDOUT_FILENO) != 1) return style;
  style.colour = std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) style.width = size.ws_col;
  return style;
}

std::expected<ControlClient, Failure> connect(const Common& common) {
  if (!common.socket.empty()) return ControlClient::connect(common.socket);
  const auto run_dir = run_dir_of(common);
  if (!run_dir) return std::unexpected(run_dir.error());
  return ControlClient::connect(*run_dir + "/hapair.sock");
}

void print_record(const Common& common, const control::v1::RecordEntry& record, const Style& style) {
  if (common.json) {
    print_json(json_of(record));
  } else {
    print(event_line(record, style));
  }
}

// Waits for the end of a decision; its records are shown as they come.
std::expected<DecisionWatch::Outcome, Failure> wait_for(const Common& common, std::uint64_t decision,
                                                        DecisionWatch::Goal goal) {
  auto client = connect(common);
  if (!client) return std::unexpected(client.error());
  Request request;
  request.mutable_follow()->mutable_filter()->set_decision(decision);
  const auto first = client->ask(request);
  if (!first) return std::unexpected(first.error());
  const Style style = style_of_terminal();
  DecisionWatch watch(goal);
  for (const auto& record : first->records().records()) {
    if (!common.json) print(event_line(record, style));
    watch.add(record);
  }
  while (!watch.outcome()) {
    const auto record = client->next_followed();
    if (!record) return std::unexpected(record.error());
    if (!common.json) print(event_line(*record, style));
    watch.add(*record);
  }
  return *watch.outcome();
}

// Sends a command, says what became of it, and waits for its end where that was asked for.
Exit command(const Common& common, const Request& request, std::optional<DecisionWatch::Goal> wait_goal) {
  const auto reply = ask(common, request);
  if (!reply) return complain(common, reply.error());
  const auto& answer = reply->command();
  Json json{{"accepted", answer.accepted()}, {"reason", answer.reason()}, {"decision", answer.decision()}};
  if (!answer.accepted()) {
    if (common.json) print_json(json);
    std::fprintf(stderr, "hapair: refused: %s\n", answer.reason().c_str());
    return Exit::failed;
  }
  const bool waits = wait_goal && answer.decision() != 0;
  if (!common.json) {
    print(answer.reason().empty() ? "accepted" : answer.reason());
    if (answer.decision() != 0)
      print(fmt::format(" (decision {}; hapair why {})", answer.decision(), answer.decision()));
    print("\n");
    std::fflush(stdout);
  }
  if (!waits) {
    if (common.json) print_json(json);
    return Exit::ok;
  }
  const auto outcome = wait_for(common, answer.decision(), *wait_goal);
  if (!outcome) return complain(common, outcome.error());
  json["succeeded"] = outcome->succeeded;
  json["outcome"] = outcome->text;
  if (common.json) {
    print_json(json);
  } else {
    print(outcome->text + "\n");
  }
  return outcome->succeeded ? Exit::ok : Exit::failed;
}

}  // namespace

std::expected<control::v1::Reply, Failure> ask(const Common& common, const Request& request) {
  auto client = connect(common);
  if (!client) return std::unexpected(client.error());
  return client->ask(request);
}

Exit show_status(const Common& common) {
  Request request;
  request.mutable_status();
  const auto reply = ask(common, request);
  if (!reply) return complain(common, reply.error());
  if (common.json) {
    print_json(json_of(reply->status()));
  } else {
    print(status_text(reply->status(), style_of_terminal()));
  }
  return Exit::ok;
}

Exit show_fleet(const Common& common) {
  Request request;
  request.mutable_fleet();
  const auto reply = ask(common, request);
  if (!reply) return complain(common, reply.error());
  if (common.json) {
    print_json(json_of(reply->fleet()));
  } else {
    print(fleet_text(reply->fleet(), style_of_terminal()));
  }
  return Exit::ok;
}

Exit show_why(const Common& common, std::uint64_t decision) {
  Request request;
  request.mutable_records()->set_decision(0);
  const auto reply = ask(common, request);
  if (!reply) return complain(common, reply.error());
  const auto decisions = decisions_in(reply->records());
  if (decision == 0 && !decisions.empty()) decision = decisions.front();
  const std::string text = why_text(reply->records(), decision, style_of_terminal());
  if (text.empty()) {
    const std::string which = decision == 0 ? "there is no decision in the records yet: nothing was decided"
                                            : fmt::format("decision {} is not in the records", decision);
    return complain(common, {Exit::failed, which + " (hapair events shows all that is kept)"});
  }
  if (common.json) {
    Json records = Json::array();
    for (const auto* record : records_of(reply->records(), decision)) records.push_back(json_of(*record));
    print_json({{"node", reply->records().node()},
                {"decision", decision},
                {"records", std::move(records)},
                {"decisions", decisions}});
    return Exit::ok;
  }
  print(text);
  constexpr std::size_t kOthersShown = 8;
  std::string others;
  std::size_t shown = 0;
  for (const std::uint64_t other : decisions) {
    if (other != decision && shown++ < kOthersShown) others += (others.empty() ? "" : ", ") + std::to_string(other);
  }
  if (!others.empty()) print(fmt::format("Other decisions, newest first: {} (hapair why N)\n", others));
  return Exit::ok;
}

Exit show_events(const Common& common, const EventsOptions& options) {
  Request request;
  control::v1::RecordsRequest filter;
  const bool chosen = !options.since.empty() || options.decision != 0;
  filter.set_last(options.last != 0 ? options.last : chosen ? 0 : kEventsShown);
  filter.set_decision(options.decision);
  filter.set_pool(options.pool);
  if (!options.since.empty()) {
    const auto ago_us = parse_length_us(options.since);
    if (!ago_us) {
      return complain(common, {Exit::usage, "--since: found \"" + options.since +
                                                "\"; allowed: a number with s, m, h or d, such as 30s, 10m, 2h, 1d"});
    }
    filter.set_since_wall_us(SystemClock().wall_us() - *ago_us);
  }
  auto client = connect(common);
  if (!client) return complain(common, client.error());
  if (options.follow) {
    *request.mutable_follow()->mutable_filter() = filter;
  } else {
    *request.mutable_records() = filter;
  }
  const auto reply = client->ask(request);
  if (!reply) return complain(common, reply.error());
  const Style style = style_of_terminal();
  for (const auto& record : reply->records().records()) print_record(common, record, style);
  if (reply->records().records().empty() && !options.follow) {
    std::fputs("hapair: no record is like that (hapair events shows the last ones of all)\n", stderr);
  }
  while (options.follow) {
    std::fflush(stdout);
    const auto record = client->next_followed();
    if (!record) return complain(common, record.error());
    print_record(common, *record, style);
  }
  return Exit::ok;
}

Exit take_over(const Common& common, const MoveOptions& options) {
  Request request;
  auto& takeover = *request.mutable_takeover();
  for (const std::string& pool : options.pools) takeover.add_pools(pool);
  takeover.set_force(options.force);
  takeover.set_ignore_vetoes(options.ignore_vetoes);
  return command(common, request, options.wait ? std::optional(DecisionWatch::Goal::served_here) : std::nullopt);
}

Exit give_back(const Common& common, const MoveOptions& options) {
  Request request;
  auto& giveback = *request.mutable_giveback();
  for (const std::string& pool : options.pools) giveback.add_pools(pool);
  giveback.set_ignore_vetoes(options.ignore_vetoes);
  return command(common, request, options.wait ? std::optional(DecisionWatch::Goal::served_by_partner) : std::nullopt);
}

Exit inhibit(const Common& common, const InhibitOptions& options) {
  Request request;
  auto& inhibit = *request.mutable_inhibit();
  inhibit.set_what(options.what);
  inhibit.set_reason(options.reason);
  if (!options.length.empty()) {
    constexpr std::int64_t kSecondUs = 1'000'000;
    constexpr std::int64_t kMostSeconds = 3650LL * 86400;
    const auto length_us = parse_length_us(options.length);
    if (!length_us || *length_us < kSecondUs || *length_us / kSecondUs > kMostSeconds) {
      return complain(common, {Exit::usage, "--for: found \"" + options.length +
                                                "\"; allowed: a number with s, m, h or d, such as 30m, 2h, 1d, at most "
                                                "3650d"});
    }
    inhibit.set_seconds(static_cast<std::uint32_t>(*length_us / kSecondUs));
  }
  return command(common, request, std::nullopt);
}

Exit allow(const Common& common, const std::string& what) {
  Request request;
  request.mutable_allow()->set_what(what);
  return command(common, request, std::nullopt);
}

Exit confirm_down(const Common& common, const std::string& partner, bool wait) {
  Request request;
  request.mutable_confirm_down()->set_partner(partner);
  return command(common, request, wait ? std::optional(DecisionWatch::Goal::served_here) : std::nullopt);
}

Exit reset_state(const Common& common, bool certain) {
  if (!certain) {
    return complain(common, {Exit::usage,
                             "this discards what the node knows about who serves its pools; first make certain which "
                             "node serves them (mount, ip address, hapair status on the partner), then say --yes"});
  }
  Request request;
  request.mutable_reset_state();
  return command(common, request, std::nullopt);
}

namespace {

// A client of this node's CCM that only looks. Waits while another `hapair` of the same name is registered.
std::expected<ccm::Client, Failure> ccm_client(const Common& common, std::string_view name) {
  const auto run_dir = run_dir_of(common);
  if (!run_dir) return std::unexpected(run_dir.error());
  const SystemClock clock;
  const Instant end = clock.now() + kPatience;
  while (true) {
    auto client = ccm::Client::connect(*run_dir + "/ccm.sock", name, Duration::zero(), kPatience);
    if (client) return std::move(*client);
    const bool taken = client.error().refusal == ccm::ClientRefusal::name_taken;
    if (!taken || clock.now() >= end) {
      const bool gone = client.error().kind == ccm::ClientError::Kind::not_running;
      return std::unexpected(Failure{gone ? Exit::not_running : Exit::failed, client.error().text});
    }
    ::usleep(20'000);
  }
}

}  // namespace

Exit set_phase(const Common& common, const std::string& word) {
  const auto phase = ccm::parse_boot_phase(word);
  if (!phase) {
    return complain(common, {Exit::usage, "found phase \"" + word +
                                              "\"; allowed: early, root, awaiting-giveback, storage-starting, "
                                              "storage-active, storage-stopping, shutting-down"});
  }
  auto client = ccm_client(common, "hapair-phase");
  if (!client) return complain(common, client.error());
  const auto set = client->set_phase(*phase, kPatience);
  client->leave();
  if (!set) return complain(common, {Exit::failed, set.error().text});
  if (common.json) print_json({{"phase", word}});
  return Exit::ok;
}

Exit show_rails(const Common& common) {
  auto client = ccm_client(common, "hapair-rails");
  if (!client) return complain(common, client.error());
  const SystemClock clock;
  const Instant end = clock.now() + kPatience;
  auto self = client->self();
  while ((!self || self->beat == 0) && clock.now() < end) {
    ::usleep(5'000);
    self = client->self();
  }
  client->leave();
  if (!self) return complain(common, {Exit::failed, "the CCM says nothing of itself: it hangs; systemctl status ccmd"});
  if (common.json) {
    print_json(rails_json(*self, clock.now()));
  } else {
    print(rails_text(*self, clock.now(), style_of_terminal()));
  }
  return Exit::ok;
}

namespace {

// Of the configured one: what is there, or, where the container does not run yet, what its path says.
std::optional<ccm::WatchdogKind> watchdog_kind_of(const agent::AgentConfig& config) {
  if (!config.pair.watchdog) return std::nullopt;
  if (const auto found = ccm::watchdog_kind_at(config.pair.watchdog->device)) return found;
  return config.pair.watchdog->names_container() ? ccm::WatchdogKind::container : ccm::WatchdogKind::machine;
}

std::string watchdog_limits_text(const agent::AgentConfig& config, const std::string& file, const Style& style) {
  if (watchdog_kind_of(config) != ccm::WatchdogKind::container) return "";
  const ccm::WatchdogConfig& watchdog = *config.pair.watchdog;
  return container_watchdog_text(watchdog.device, watchdog.container_covers_pools ? file : "", style);
}

// A container that is started anew would pass for one that never ended.
void check_boot_id(const agent::AgentConfig& config, std::vector<std::string>& problems) {
  if (watchdog_kind_of(config) != ccm::WatchdogKind::container || config.pair.boot_id_file != ccm::kKernelsBootId)
    return;
  problems.push_back(
      "boot_id_file is the kernel's, which is the host's and outlives this container: give the file that "
      "hapair-node-init draws at each start (/run/hapair-boot-id)");
}

void add_watchdog(const agent::AgentConfig& config, Json& json) {
  const auto kind = watchdog_kind_of(config);
  if (!kind) return;
  const bool container = *kind == ccm::WatchdogKind::container;
  json["watchdog"] = {{"kind", container ? "container" : "machine"},
                      {"fit_for_leases", !container || config.pair.watchdog->container_covers_pools},
                      {"not_covered", container ? container_watchdog_limits() : std::vector<std::string_view>{}}};
}

std::string reservations_text(const ReservationLook& look) {
  if (look.disks == 0) return "";
  const std::string disks = std::to_string(look.disks) + (look.disks == 1 ? " reserved disk" : " reserved disks");
  return look.asked ? disks + ": this node can take them\n" : disks + ": not asked, which only root may\n";
}

}  // namespace

Exit check(const Common& common, const std::string& file) {
  std::vector<std::string> problems;
  ReservationLook reservations;
  const Style style = style_of_terminal();
  const auto config = agent::load_agent_config(file);
  if (config) {
    if (const auto key = ccm::load_key(config->pair.key_file); !key) problems.push_back(file + ": " + key.error());
    if (const auto id = ccm::load_boot_id(config->pair.boot_id_file); !id) problems.push_back(file + ": " + id.error());
    if (problems.empty()) reservations = look_at_reservations(*config);
    std::vector<std::string> seen = reservations.problems;
    check_boot_id(*config, seen);
    for (std::string& problem : seen) problems.push_back(problem.insert(0, file + ": "));
  } else {
    problems = config.error().lines();
  }
  if (common.json) {
    Json json{{"file", file}, {"ok", problems.empty()}, {"problems", problems}};
    json["reserved_disks"] = {{"count", reservations.disks}, {"asked", reservations.asked}};
    if (problems.empty()) {
      add_watchdog(*config, json);
      json.update(forecast_json(*config));
      json.update(quorum_json(*config));
    }
    print_json(json);
  } else if (problems.empty()) {
    print(file + ": ok\n" + reservations_text(reservations) + watchdog_limits_text(*config, file, style) +
          forecast_text(*config, style) + quorum_text(*config, style));
  }
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  return problems.empty() ? Exit::ok : Exit::configuration;
}

Exit show_version(const Common& common) {
  if (common.json) {
    print_json({{"version", HAPAIR_VERSION}, {"control_protocol", control::kControlProtocol}});
  } else {
    print("hapair " HAPAIR_VERSION "\n");
  }
  return Exit::ok;
}

std::optional<std::int64_t> parse_length_us(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  constexpr std::int64_t kMost = 100'000;
  if (error != std::errc{} || count < 0 || count > kMost) return std::nullopt;
  constexpr std::int64_t kSecondUs = 1'000'000;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit == "s") return count * kSecondUs;
  if (unit == "m") return count * 60 * kSecondUs;
  if (unit == "h") return count * 3600 * kSecondUs;
  if (unit == "d") return count * 86400 * kSecondUs;
  return std::nullopt;
}

}  // namespace hapair::cli
