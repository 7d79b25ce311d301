#include "agent/cli/cluster_commands.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>

#include "agent/cli/answer.h"
#include "agent/config/agent_config.h"
#include "agent/shell/state_format.h"
#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"

namespace hapair::cli {
namespace {

using control::v1::PoolStatus;
using control::v1::Request;
using control::v1::StatusReply;

constexpr useconds_t kLookEvery = 20'000;
constexpr std::uint32_t kOutlivesWaitS = 3;

// OCF Resource Agent API 1.1.
namespace ocf {
constexpr int kSuccess = 0;
constexpr int kGeneric = 1;
constexpr int kInstalled = 5;
constexpr int kConfigured = 6;
constexpr int kNotRunning = 7;
constexpr int kRunningPromoted = 8;
constexpr int kFailedPromoted = 9;
constexpr int kDegraded = 190;
constexpr int kDegradedPromoted = 191;
}  // namespace ocf

Exit exit_of(int status) { return static_cast<Exit>(status); }

const PoolStatus* pool_in(const StatusReply& status, const std::string& name) {
  const auto& pools = status.pools();
  const auto it = std::ranges::find_if(pools, [&](const PoolStatus& pool) { return pool.name() == name; });
  return it == pools.end() ? nullptr : &*it;
}

std::string no_such_pool(const StatusReply& status, const std::string& name) {
  std::string known;
  for (const PoolStatus& pool : status.pools()) known += (known.empty() ? "" : ", ") + pool.name();
  return fmt::format("the pair {} has no pool {}; its pools: {}", status.pair(), name, known);
}

std::optional<std::string> order(const Common& common, const ClusterOptions& options, bool promoted) {
  Request request;
  request.mutable_cluster()->set_pool(options.pool);
  request.mutable_cluster()->set_promote(promoted);
  request.mutable_cluster()->set_above(options.above);
  // It outlives the wait for it, which withdraws it; this is for one that was killed.
  if (promoted) request.mutable_cluster()->set_seconds(options.timeout_s + kOutlivesWaitS);
  const auto reply = ask(common, request);
  if (!reply) return reply.error().text;
  if (!reply->command().accepted()) return reply->command().reason();
  return std::nullopt;
}

enum class Progress : std::uint8_t { done, under_way, impossible };

Progress promotion(const PoolStatus& pool) {
  if (pool.state() == "serving") return Progress::done;
  return pool.ordered() ? Progress::under_way : Progress::impossible;
}

bool at_rest(const PoolStatus& pool) {
  return pool.state() == "released" || pool.state() == "elsewhere" || pool.state() == "unsettled";
}

// Not before the record, too, says that a restarted agent has nothing here to resume.
Progress demotion(const PoolStatus& pool) {
  if (pool.state() == "failed") return Progress::impossible;
  return at_rest(pool) && !pool.may_be_held() ? Progress::done : Progress::under_way;
}

// One that is on its way is waited for: what runs of it is not known.
Progress settling(const PoolStatus& pool) {
  const bool known = at_rest(pool) || pool.state() == "serving" || pool.state() == "failed" ||
                     pool.state() == "asking" || pool.state() == "requesting" || pool.state() == "claiming" ||
                     pool.state() == "fencing";
  return known ? Progress::done : Progress::under_way;
}

std::string where_it_stands(const StatusReply& status, const PoolStatus& pool) {
  std::string text = fmt::format("{} is {}: {}", pool.name(), pool.state(), pool.reason());
  if (!status.reason().empty()) text += fmt::format(" ({}; {})", status.reason(), status.to_do());
  return text;
}

// Looks until the pool is as it was ordered; the error says why it is not.
std::expected<PoolStatus, std::string> await(const Common& common, const ClusterOptions& options,
                                             Progress (*look)(const PoolStatus&)) {
  const SystemClock clock;
  const Instant end = clock.now() + std::chrono::seconds(options.timeout_s);
  while (true) {
    const auto status = status_of(common);
    if (!status) return std::unexpected(status.error().text);
    const PoolStatus* pool = pool_in(*status, options.pool);
    if (pool == nullptr) return std::unexpected(no_such_pool(*status, options.pool));
    switch (look(*pool)) {
      case Progress::done:
        return *pool;
      case Progress::impossible:
        return std::unexpected(where_it_stands(*status, *pool));
      case Progress::under_way:
        break;
    }
    if (clock.now() >= end) {
      return std::unexpected(fmt::format("after {} s {}", options.timeout_s, where_it_stands(*status, *pool)));
    }
    ::usleep(kLookEvery);
  }
}

// A rail or a mailbox disk is lost, or the CCM: what is served is served with less than was configured.
std::string degraded(const StatusReply& status) {
  if (!status.ccm().running()) return "this node's CCM does not run";
  const bool partner_there = status.partner_status().verdict() == "alive";
  for (const auto& rail : status.ccm().rails()) {
    if (partner_there && rail.handshake() != "connected")
      return fmt::format("rail {} is {}", rail.name(), rail.handshake());
  }
  for (const auto& network : status.ccm().networks()) {
    const bool lost = network.is_disk() ? network.state() == "unsent" : partner_there && network.state() != "beats";
    if (lost) {
      return fmt::format("{} {} is {}", network.is_disk() ? "mailbox disk" : "network", network.name(),
                         network.state());
    }
  }
  if (status.mailbox_troubles_size() > 0) return status.mailbox_troubles(0);
  return {};
}

// By the record that an agent which does not run left behind; nothing: it cannot be told.
std::optional<bool> may_run_by_record(const Common& common, const std::string& pool) {
  const auto config = agent::load_agent_config(common.config, agent::AgentPlaces::from_environment());
  if (!config) return std::nullopt;
  const std::string path = config->state_dir + "/state";
  // Not what it points to: a link into a disk that is not mounted is no node on which nothing was ever served.
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return errno == ENOENT ? std::optional(false) : std::nullopt;
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto state = agent::decode_state({config->pair.pair, config->pair.node}, std::as_bytes(std::span(bytes)));
  const auto boot_id = ccm::load_boot_id(config->pair.boot_id_file);
  if (!state || !boot_id) return std::nullopt;
  if (state->boot_id != *boot_id) return false;
  const auto entry = std::ranges::find_if(state->pools, [&](const auto& each) { return each.pool.view() == pool; });
  return entry != state->pools.end() && entry->held;
}

}  // namespace

std::expected<StatusReply, Failure> status_of(const Common& common) {
  Request request;
  request.mutable_status();
  auto reply = ask(common, request);
  if (!reply) return std::unexpected(reply.error());
  return std::move(*reply->mutable_status());
}

Exit promote(const Common& common, const ClusterOptions& options) {
  if (const auto refused = order(common, options, true)) {
    return complain(common, {Exit::failed, "refused: " + *refused});
  }
  const auto pool = await(common, options, promotion);
  if (pool) {
    if (common.json) {
      print_json({{"pool", options.pool}, {"epoch", pool->epoch()}});
    } else {
      print(fmt::format("{}\n", pool->epoch()));
    }
    return Exit::ok;
  }
  order(common, options, false);
  return complain(common, {Exit::failed, pool.error()});
}

Exit epoch_to_keep(const Common& common, const ClusterOptions& options) {
  const auto status = status_of(common);
  if (!status) return complain(common, status.error());
  const PoolStatus* pool = pool_in(*status, options.pool);
  if (pool == nullptr) return complain(common, {Exit::failed, no_such_pool(*status, options.pool)});
  const std::uint64_t known = std::max({options.above, pool->highest_epoch(), pool->epoch(), pool->claim()});
  if (known > agent::kHighestKeptEpoch) {
    return complain(
        common, {Exit::failed, fmt::format("epoch {} is none that {} can have been served at", known, options.pool)});
  }
  if (common.json) {
    print_json({{"pool", options.pool}, {"epoch", known + agent::kClaimReach}});
  } else {
    print(fmt::format("{}\n", known + agent::kClaimReach));
  }
  return Exit::ok;
}

Exit demote(const Common& common, const ClusterOptions& options) {
  if (const auto refused = order(common, options, false)) {
    return complain(common, {Exit::failed, "refused: " + *refused});
  }
  const auto pool = await(common, options, demotion);
  return pool ? Exit::ok : complain(common, {Exit::failed, pool.error()});
}

Exit cluster_monitor(const Common& common, const ClusterOptions& options) {
  const auto status = status_of(common);
  if (!status && status.error().exit == Exit::not_running) {
    const auto may_run = may_run_by_record(common, options.pool);
    if (may_run && !*may_run) {
      std::fprintf(stderr, "hapaird does not run, and nothing of %s was left running\n", options.pool.c_str());
      return exit_of(ocf::kNotRunning);
    }
    complain(common, status.error());
    return exit_of(ocf::kGeneric);
  }
  if (!status) {
    complain(common, status.error());
    return exit_of(status.error().exit == Exit::configuration ? ocf::kInstalled : ocf::kGeneric);
  }
  const PoolStatus* runs = pool_in(*status, options.pool);
  const bool may_run = runs != nullptr && !at_rest(*runs);
  if (status->arbiter() != "pacemaker" && may_run) {
    complain(common, {Exit::failed, fmt::format("{} is {} here, and the arbiter of this node's hapair is \"{}\": it "
                                                "does not obey the cluster",
                                                options.pool, runs->state(), status->arbiter())});
    return exit_of(ocf::kGeneric);
  }
  if (status->arbiter() != "pacemaker") {
    complain(common, {Exit::failed, fmt::format("the arbiter of this node's hapair is \"{}\": set \"arbiter\": "
                                                "\"pacemaker\" in its configuration and restart hapaird",
                                                status->arbiter())});
    return exit_of(ocf::kInstalled);
  }
  const PoolStatus* pool = pool_in(*status, options.pool);
  if (pool == nullptr) {
    complain(common, {Exit::failed, no_such_pool(*status, options.pool)});
    return exit_of(ocf::kConfigured);
  }
  if (status->state() == "offline") {
    complain(common, {Exit::failed, fmt::format("what runs of {} cannot be told: this node is offline ({}; {})",
                                                options.pool, status->reason(), status->to_do())});
    return exit_of(ocf::kGeneric);
  }
  if (settling(*pool) == Progress::under_way) {
    const auto settled = await(common, options, settling);
    if (settled) return cluster_monitor(common, options);
    complain(common, {Exit::failed, settled.error()});
    return exit_of(ocf::kGeneric);
  }
  if (pool->state() == "failed") {
    complain(common, {Exit::failed, where_it_stands(*status, *pool)});
    return exit_of(ocf::kFailedPromoted);
  }
  const bool promoted = pool->state() == "serving";
  if (!promoted && pool->failed_here()) std::fprintf(stderr, "%s\n", where_it_stands(*status, *pool).c_str());
  const std::string less = degraded(*status);
  if (less.empty()) return exit_of(promoted ? ocf::kRunningPromoted : ocf::kSuccess);
  std::fprintf(stderr, "degraded: %s\n", less.c_str());
  return exit_of(promoted ? ocf::kDegradedPromoted : ocf::kDegraded);
}

}  // namespace hapair::cli
