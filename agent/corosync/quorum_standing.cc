#include "agent/corosync/quorum_standing.h"

#include <fmt/core.h>

#include <algorithm>

namespace hapair::agent {
namespace {

// Of corosync-qdevice and corosync-qnetd: the interval of the one's questions, as a share of quorum.device.timeout, and
// after how many of them without one the other gives it up.
Duration device_heartbeat(const QuorumDevice& device) {
  return std::max<Duration>(device.timeout * 4 / 5, std::chrono::seconds(1));
}
Duration device_gives_up(const QuorumDevice& device) { return device_heartbeat(device) * 3 / 2; }

// Besides all that is bounded: an election's messages, and a loaded machine.
constexpr Duration kFormingMargin = std::chrono::seconds(1);

std::uint32_t votes_of(const QuorumConfiguration& configuration, const std::string& name) {
  const auto node = std::ranges::find(configuration.nodes, name, &QuorumNode::name);
  return node == configuration.nodes.end() ? 0 : node->votes;
}

std::string missing_name(const std::string& name) {
  return fmt::format(
      "no node of Corosync's nodelist is named {0}: give its node section in corosync.conf \"name: {0}\", on every "
      "node, "
      "and load it (corosync-cfgtool -R)",
      name);
}

std::string device_refused(const QuorumDevice& device) {
  if (device.model == "net" && device.algorithm == "ffsplit") return {};
  return fmt::format(
      "the quorum device is of model {}{}: a node that has lost its server may go on counting its vote for ever, and "
      "so "
      "both might have quorum; use model net with algorithm ffsplit (corosync-qdevice(8))",
      device.model.empty() ? "(none)" : device.model,
      device.model == "net" ? " with algorithm " + device.algorithm : std::string());
}

}  // namespace

std::uint32_t configured_votes(const QuorumConfiguration& configuration, const QuorumVotes& votes) {
  std::uint32_t all = std::max(votes.device_votes, configuration.device ? configuration.device->votes : 0);
  for (const QuorumNode& node : configuration.nodes) all += node.votes;
  return all;
}

std::optional<std::uint32_t> node_id_of(const QuorumConfiguration& configuration, const std::string& name) {
  const auto node = std::ranges::find(configuration.nodes, name, &QuorumNode::name);
  if (node == configuration.nodes.end() || node->id == 0) return std::nullopt;
  return node->id;
}

std::string no_leases_on(const QuorumConfiguration& configuration, const QuorumVotes& votes, const QuorumSides& sides) {
  for (const std::string& name : {sides.self, sides.partner}) {
    if (!node_id_of(configuration, name)) return missing_name(name);
  }
  if (votes.two_node) {
    return "Corosync runs with two_node, by which each half of a split has quorum, so it proves nothing: take two_node "
           "out of corosync.conf and add a quorum device (corosync-qdevice(8)) or a third node";
  }
  if (configuration.device) {
    if (std::string refused = device_refused(*configuration.device); !refused.empty()) return refused;
  }
  if (votes.auto_tie_breaker && !votes.wait_for_all) {
    return "Corosync runs with auto_tie_breaker and without wait_for_all, so a node that starts alone may have quorum: "
           "set wait_for_all in corosync.conf";
  }
  const std::uint32_t all = configured_votes(configuration, votes);
  if (2 * votes.quorum <= all) {
    return fmt::format(
        "Corosync has quorum with {} of {} votes, no more than half of them, so two parts might have it at once: "
        "expected_votes were lowered, or last_man_standing or allow_downscale is on; set them back "
        "(corosync-quorumtool "
        "-s shows them)",
        votes.quorum, all);
  }
  for (const std::string& name : {sides.self, sides.partner}) {
    const std::uint32_t rest = all - votes_of(configuration, name);
    if (rest >= votes.quorum) continue;
    return fmt::format(
        "without {} there are {} of {} votes and {} are needed, so when it dies nothing of Corosync's has quorum: add "
        "a "
        "quorum device (corosync-qdevice(8)) or a third node",
        name, rest, all, votes.quorum);
  }
  if (const Duration shortest = shortest_lease(configuration); sides.lease < shortest) {
    return fmt::format(
        "lease.duration_ms ({:.0f}) is shorter than Corosync may need to have quorum again after a node died ({:.0f}: "
        "token {:.0f}, consensus {:.0f}{}), so that would stop the pools of the other too: make the lease longer, or "
        "those times shorter",
        ms_of(sides.lease), ms_of(shortest), ms_of(configuration.token), ms_of(configuration.consensus),
        configuration.device ? fmt::format(", quorum.device.timeout {:.0f}", ms_of(configuration.device->timeout))
                             : std::string());
  }
  return {};
}

Duration vote_slack(const QuorumConfiguration& configuration, const QuorumVotes& votes) {
  if (!configuration.device && votes.device_votes == 0) return {};
  const QuorumDevice device = configuration.device.value_or(QuorumDevice{});
  return 2 * device_heartbeat(device) + device.timeout;
}

Duration shortest_lease(const QuorumConfiguration& configuration) {
  Duration outage = configuration.token + configuration.consensus;
  if (configuration.device) outage = std::max(outage, device_gives_up(*configuration.device));
  // A quarter of it may be gone when the ring breaks, or a second (Engine::ask_quorum).
  return outage + kFormingMargin + std::min<Duration>(outage / 3, std::chrono::seconds(1));
}

std::string what_decides(const QuorumConfiguration& configuration, const QuorumSides& sides) {
  const auto [low, high] = std::minmax(sides.self, sides.partner);
  std::string text = fmt::format("{}\n{}\n{}\n", configuration.cluster, low, high);
  std::vector<QuorumNode> nodes = configuration.nodes;
  std::ranges::sort(nodes, {}, &QuorumNode::id);
  for (const QuorumNode& node : nodes) text += fmt::format("{} {} {}\n", node.id, node.votes, node.name);
  if (configuration.device) {
    const QuorumDevice& device = *configuration.device;
    text += fmt::format("{} {} {} {} {}\n", device.model, device.algorithm, device.host, device.votes,
                        device.timeout.count());
  }
  return text;
}

std::string quorum_trouble(const QuorumConfiguration& configuration, const QuorumVotes& votes) {
  if (configuration.device && votes.device_votes == 0) {
    return "the quorum device is configured, and corosync-qdevice does not run here: a node that dies takes the quorum "
           "with it, and the survivor's pools stop; start it (systemctl status corosync-qdevice)";
  }
  if (votes.device_votes > 0 && !votes.device_votes_now) {
    return "the quorum device gives no vote here: a node that dies takes the quorum with it, and the survivor's pools "
           "stop; see corosync-qdevice-tool -s, and corosync-qnetd";
  }
  return {};
}

std::string votes_text(const QuorumConfiguration& configuration, const QuorumVotes& votes) {
  return fmt::format("{}, {} of {} votes, {} needed{}", votes.quorate ? "quorate" : "no quorum", votes.total,
                     configured_votes(configuration, votes), votes.quorum,
                     votes.device_votes == 0  ? ""
                     : votes.device_votes_now ? ", with the quorum device's"
                                              : ", without the quorum device's");
}

}  // namespace hapair::agent
