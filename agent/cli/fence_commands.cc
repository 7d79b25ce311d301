// What fence_hapair asks of the agent of its node: see cluster_commands.h.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "agent/cli/answer.h"
#include "agent/cli/cluster_commands.h"
#include "ccm/base/time.h"

namespace hapair::cli {
namespace {

using control::v1::Request;
using control::v1::StatusReply;

constexpr useconds_t kLookEvery = 50'000;
constexpr std::uint32_t kOutlivesWaitS = 3;

// An empty name means the partner.
std::optional<Failure> not_the_partner(const StatusReply& status, const std::string& node) {
  if (node.empty() || node == status.partner() || node == status.partner_in_cluster()) return std::nullopt;
  return Failure{Exit::failed, fmt::format("{} is not fenced from here: of the pair {} it is {} that {} can reset",
                                           node, status.pair(), status.partner(), status.node())};
}

bool is_seen(const StatusReply& status) {
  const std::string& verdict = status.partner_status().verdict();
  return !verdict.empty() && verdict != "unknown" && verdict != "unproven" && verdict != "unreachable";
}

bool has_rail(const StatusReply& status) {
  const auto& rails = status.ccm().rails();
  return std::ranges::any_of(rails, [](const auto& rail) { return rail.handshake() == "connected"; });
}

}  // namespace

Exit fence_partner(const Common& common, const std::string& node, std::uint32_t timeout_s) {
  const SystemClock clock;
  const Instant end = clock.now() + std::chrono::seconds(timeout_s);
  const auto before = status_of(common);
  if (!before) return complain(common, before.error());
  if (const auto wrong = not_the_partner(*before, node)) return complain(common, *wrong);
  Request request;
  request.mutable_cluster_fence()->set_seconds(timeout_s + kOutlivesWaitS);
  const auto reply = ask(common, request);
  if (!reply) return complain(common, reply.error());
  if (!reply->command().accepted()) {
    return complain(common, {Exit::failed, "refused: " + reply->command().reason()});
  }
  while (true) {
    const auto status = status_of(common);
    if (!status) return complain(common, status.error());
    const std::string& state = status->cluster_fence().state();
    if (status->cluster_fence().number() != reply->command().decision()) {
      return complain(common, {Exit::failed, "a later request took its place, or hapaird was restarted"});
    }
    if (state == "done") {
      if (!common.json) print(status->cluster_fence().reason() + "\n");
      return Exit::ok;
    }
    if (state == "failed") return complain(common, {Exit::failed, status->cluster_fence().reason()});
    if (clock.now() >= end) {
      return complain(common, {Exit::failed, fmt::format("after {} s {} was not seen in another life (the order is {})",
                                                         timeout_s, status->partner(), state)});
    }
    ::usleep(kLookEvery);
  }
}

Exit partner_power(const Common& common, const std::string& node) {
  const auto status = status_of(common);
  if (!status) return complain(common, status.error());
  if (const auto wrong = not_the_partner(*status, node)) return complain(common, *wrong);
  if (is_seen(*status)) return Exit::ok;
  const std::string& verdict = status->partner_status().verdict();
  return complain(common, {Exit::failed, fmt::format("whether {} runs cannot be told: it is {}", status->partner(),
                                                     verdict.empty() ? "unknown" : verdict)});
}

Exit list_partner(const Common& common) {
  const auto status = status_of(common);
  if (!status) return complain(common, status.error());
  if (status->partner_in_cluster().empty()) return fence_monitor(common);  // which says why
  print(status->partner_in_cluster() + "\n");
  return Exit::ok;
}

Exit fence_monitor(const Common& common) {
  const auto status = status_of(common);
  if (!status) return complain(common, status.error());
  if (status->arbiter() != "pacemaker") {
    return complain(common,
                    {Exit::failed, fmt::format("the arbiter of this node's hapair is \"{}\": fence_hapair is for "
                                               "\"pacemaker\"",
                                               status->arbiter())});
  }
  if (!status->ccm().running()) {
    return complain(common, {Exit::failed, "this node's ccmd does not run, so the partner could not be told"});
  }
  // While nothing is seen of the partner, nothing could be told to it, and the device is in order.
  if (is_seen(*status) && !has_rail(*status)) {
    return complain(common, {Exit::failed, fmt::format("no rail to {} is connected, so it could not be told: see "
                                                       "hapair rails",
                                                       status->partner())});
  }
  return Exit::ok;
}

}  // namespace hapair::cli
