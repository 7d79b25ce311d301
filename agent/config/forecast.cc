#include "agent/config/forecast.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/config/limits.h"
#include "ccm/wire/watchdog_layout.h"

namespace hapair::agent {
namespace {

std::string time_text(Duration time) {
  const double ms = ms_of(time);
  return ms < 10'000 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.0f} s", ms / 1000);
}

// Whether the partner's ccmd runs and a rail to it is connected: poison needs both.
enum class PartnersCcm : std::uint8_t { answers, gone };

bool reaches(const FenceDeviceConfig& device, PartnersCcm ccm) {
  return device.kind != FenceKind::poison || ccm == PartnersCcm::answers;
}

// By an operator, and where a node shuts down.
constexpr std::string_view kMovesOverTheDisk = "; hapair takeover and giveback go over the disk";

// Empty: there is none that could confirm a fence then.
std::string device_names(const AgentConfig& config, PartnersCcm ccm = PartnersCcm::gone) {
  std::string names;
  for (const FenceDeviceConfig& device : config.fencing.devices)
    if (reaches(device, ccm)) names += (names.empty() ? "" : ", then ") + device.name;
  return names;
}

bool has_disk(const AgentConfig& config) {
  return std::ranges::any_of(config.pair.networks, [](const auto& network) { return !network.device.empty(); });
}

std::string channel_names(const AgentConfig& config, bool disks) {
  std::string names;
  for (const ccm::NetworkConfig& network : config.pair.networks) {
    if (network.device.empty() == disks) continue;
    names += (names.empty() ? "" : " or ") + network.title();
  }
  return names;
}

// From what the wait for a lease's end is counted.
std::string wait_text(const AgentConfig& config, Duration wait) {
  if (config.arbiter == ArbiterKind::corosync) {
    return fmt::format(
        "{} after Corosync here has quorum without it, and with a quorum device another 5.2 x "
        "quorum.device.timeout",
        time_text(wait));
  }
  return fmt::format("{} after its claim is decided on the mailbox disks", time_text(wait));
}

// What follows on a verdict that allows a takeover; `known` is the first half of the sentence.
Forecast taken(const AgentConfig& config, std::string failure, const std::string& known,
               std::string_view command = "hapair takeover", PartnersCcm ccm = PartnersCcm::gone) {
  const std::string partner = config.pair.partner.text();
  const std::string names = device_names(config, ccm);
  const bool devices = !names.empty();
  if (!config.takeover.automatic) {
    return {std::move(failure),
            fmt::format("{} an operator decides, for takeover.automatic is false: {}", known,
                        devices ? fmt::format("{}, which fences it", command)
                                : fmt::format("switch {} off, then hapair confirm-down {}, as there is no fence device",
                                              partner, partner)),
            false};
  }
  if (const auto wait = lease_wait(config)) {
    const std::string then = wait_text(config, *wait);
    return {std::move(failure),
            devices ? fmt::format(
                          "{} it is fenced by {}, and its pools are served here once that is confirmed, or, without "
                          "that, when its lease must be over, {}",
                          known, names, then)
                    : fmt::format("{} its pools are served here when its lease must be over, {}", known, then),
            true};
  }
  if (!devices) {
    return {std::move(failure),
            fmt::format("{} nothing is taken: poison needs its ccmd and a rail to it, and there is no other fence "
                        "device; whoever sees that it has no power runs here: hapair confirm-down {}",
                        known, partner),
            false};
  }
  return {std::move(failure),
          fmt::format("{} it is fenced by {}, and its pools are served here once that is confirmed", known, names),
          true};
}

Forecast links_lost(const AgentConfig& config) {
  const std::string networks = channel_names(config, false);
  const std::string disks = channel_names(config, true);
  const std::string left = networks.empty() ? disks : disks.empty() ? networks : networks + " or " + disks;
  if (!left.empty()) {
    return {"every rail is cut, both nodes live",
            fmt::format("each is still seen over {}: interconnect-lost; both go on serving, nobody is fenced{}", left,
                        has_disk(config) ? kMovesOverTheDisk : ""),
            true};
  }
  return {"every rail is cut, both nodes live",
          "cannot be told from a death, for there is no network of beats (ccm.networks) and no mailbox disk: as below",
          true};
}

Forecast all_links_lost(const AgentConfig& config) {
  const std::string failure = "every rail and network is cut, both nodes live";
  if (has_disk(config)) {
    return {failure,
            fmt::format("each still beats on {}: interconnect-lost; both go on serving, nobody is fenced{}",
                        channel_names(config, true), kMovesOverTheDisk),
            true};
  }
  if (config.arbiter == ArbiterKind::corosync) {
    return {
        failure,
        "where Corosync's links still work, nothing moves; where they are cut too, the node that keeps quorum goes on "
        "and takes the other's pools when its lease is over; the other has stopped them by then",
        true};
  }
  if (!config.takeover.automatic || device_names(config).empty()) {
    return {failure, "each takes the other for dead and does nothing by itself; both go on serving", false};
  }
  return {
      failure,
      "each takes the other for dead and fences it; the first confirmed fence wins. Different delay_ms of the devices "
      "on the two nodes keep both from going off",
      true};
}

Forecast fence_fails(const AgentConfig& config) {
  const std::string partner = config.pair.partner.text();
  if (const auto wait = lease_wait(config); wait && config.takeover.automatic) {
    return {fmt::format("{} is dead, and no fence device answers", partner),
            fmt::format("its lease is waited for: its pools are served here {}", wait_text(config, *wait)), true};
  }
  return {
      fmt::format("{} is dead, and no fence device answers", partner),
      fmt::format("{} rounds through the devices, {} apart, then nothing is taken; whoever sees that {} has no power "
                  "runs here: hapair confirm-down {}",
                  config.fencing.attempts, time_text(config.fencing.retry), partner, partner),
      false};
}

// Of arbiter corosync.
void add_quorum_lost(const AgentConfig& config, std::vector<Forecast>& all) {
  const std::string node = config.pair.node.text();
  const std::string partner = config.pair.partner.text();
  all.push_back({"Corosync runs with two_node, or with two votes and neither a quorum device nor a third node",
                 "no pool is served under a lease, for either would be wrong: in a split both have quorum, or none; it "
                 "is told in hapair status",
                 false});
  all.push_back({"Corosync stops on one node, and hapair's links work",
                 "that node is freed from its leases by the other's word and serves on; until it is back, no takeover "
                 "by itself rests on a lease",
                 true});
  all.push_back({"the quorum device is lost, both nodes live",
                 "told in hapair status; both have quorum without it. If one dies before it is back, the other has "
                 "none: its pools stop when their leases are over, and wait for an operator",
                 true});
  all.push_back({fmt::format("{} is cut off from {} and from Corosync's other votes", node, partner),
                 fmt::format("it stops its pools when its lease is over, {} after its last look with quorum, and is "
                             "reset by its watchdog where they have not stopped {} later; they are served there then, "
                             "and stay there when the links are back until they are given back",
                             time_text(config.lease.duration), time_text(config.lease.stop)),
                 true});
}

// Of arbiter mailbox.
void add_mailbox_lost(const AgentConfig& config, std::vector<Forecast>& all) {
  const std::string node = config.pair.node.text();
  const std::string partner = config.pair.partner.text();
  if (deciding_disks(config.pair).size() == 3) {
    all.push_back({"one of the three mailbox disks is lost", "told in hapair status; nothing else is lost", true});
  }
  all.push_back(
      {deciding_disks(config.pair).size() == 3 ? "two of the mailbox disks are lost" : "the mailbox disk is lost",
       "each node is freed from its lease by the other's word, and both serve on; until they are back, no "
       "takeover by itself rests on a lease",
       true});
  all.push_back(
      {fmt::format("{} is cut off from {} and from the mailbox disks", node, partner),
       fmt::format("it stops its pools when its lease is over, {} after its last look at the disks, and is reset "
                   "by its watchdog where they have not stopped {} later; they are served there then",
                   time_text(config.lease.duration), time_text(config.lease.stop)),
       true});
}

Forecast stalled(const AgentConfig& config) {
  const std::string failure =
      fmt::format("{}'s storage stands still, all else of it works", config.pair.partner.view());
  if (!config.takeover.storage_stalled) {
    return {failure,
            "it is told (of software that tells its progress); an operator decides: hapair takeover --force, or "
            "takeover.storage_stalled_ms",
            false};
  }
  return taken(config, failure, fmt::format("after {} more", time_text(*config.takeover.storage_stalled)),
               "hapair takeover", PartnersCcm::answers);
}

// A fence by reservations stops writes and nothing else.
std::optional<Forecast> storage_fenced(const AgentConfig& config) {
  const auto device = std::ranges::find(config.fencing.devices, FenceKind::scsi, &FenceDeviceConfig::kind);
  if (device == config.fencing.devices.end()) return std::nullopt;
  Duration longest{};
  for (const PoolConfig& pool : config.pools) {
    for (const ResourceConfig& resource : pool.resources) {
      if (resource.kind == ResourceKind::reservation) longest = std::max(longest, resource.monitor_interval);
    }
  }
  const std::string partner = config.pair.partner.text();
  return Forecast{
      fmt::format("{} lives, and was fenced by {}", partner, device->name),
      fmt::format("its writes to the reserved disks are refused, and nothing else of it is stopped: its addresses "
                  "and all that it serves from memory stay until its monitor sees the loss (every {}) and stops "
                  "them",
                  time_text(longest)),
      true};
}

// What the partner does that is poisoned, where it is configured like this node.
std::optional<Forecast> poisoned(const AgentConfig& config) {
  const auto device = std::ranges::find(config.fencing.devices, FenceKind::poison, &FenceDeviceConfig::kind);
  if (device == config.fencing.devices.end()) return std::nullopt;
  const ccm::PoisonConfig& poison = config.pair.poison;
  const std::string partner = config.pair.partner.text();
  const std::string_view reset =
      poison.reset == ccm::PoisonReset::watchdog ? "its watchdog resets it, and its pools are served here when it is "
                                                   "seen to boot"
      : poison.reset == ccm::PoisonReset::sysrq ? "it resets itself by sysrq, and its pools are served here when it is "
                                                  "seen to boot"
                                                : "it says that it cannot, for ccm.poison.reset is \"none\", and the "
                                                  "fence is not confirmed";
  return Forecast{fmt::format("{} lives, and was fenced by {}", partner, device->name),
                  fmt::format("told over a rail, it stops every pool and answers, and goes on; where its agent has not "
                              "within {} (ccm.poison.bound_ms) {}. Without a connected rail {} is given up at once: "
                              "it helps neither when the interconnect is lost nor when {} has no power",
                              time_text(poison.bound), reset, device->name, partner),
                  poison.reset != ccm::PoisonReset::none};
}

std::string who_fences(const PacemakerConfig& pacemaker) {
  if (pacemaker.request_fence) return "Pacemaker, asked by this node at once (pacemaker.request_fence), fences it";
  if (!pacemaker.look_at_once) return "Pacemaker fences it when Corosync's token is lost";
  return fmt::format(
      "Corosync, asked by this node to look at once (pacemaker.look_at_once), gives it up within {} "
      "(pacemaker.consensus_ms), so Pacemaker fences it",
      time_text(pacemaker.consensus));
}

// Of arbiter pacemaker: what is left to this node.
std::vector<Forecast> under_pacemaker(const AgentConfig& config) {
  const std::string partner = config.pair.partner.text();
  const std::string known = time_text(silent_after(config));
  return {
      {partner + " is dead, or everything in it stands",
       fmt::format(
           "known here {} after its last beat; {} and promotes the clone of its pools here, which this node obeys",
           known, who_fences(config.pacemaker)),
       true},
      {partner + " boots, panics or was reset", "as above: Pacemaker fences it, or sees it leave", true},
      {partner + " shuts down in an orderly way", "Pacemaker demotes the clones there, and promotes them here", true},
      {partner + "'s agent dies or stands, its pools run on",
       fmt::format("the clone's monitor there fails; its stop cannot be proved, so Pacemaker fences {}", partner),
       true},
      {"every link of hapair's between the two is cut, and none of Corosync's",
       config.pacemaker.request_fence
           ? fmt::format("{} is fenced at this node's word, though Pacemaker sees it (pacemaker.request_fence)",
                         partner)
           : "nothing moves by itself; a promotion by Pacemaker, which has links of its own, is obeyed",
       !config.pacemaker.request_fence},
      {fmt::format("Pacemaker promotes a clone here whose pool {} says that it has", partner),
       fmt::format("this node yields: nothing is started before it is demoted on {}, or that node is seen to be gone",
                   partner),
       false},
      {"nothing is promoted", "nothing is served: hapair starts no pool by itself", false},
  };
}

}  // namespace

std::vector<Forecast> forecast(const AgentConfig& config) {
  if (config.arbiter == ArbiterKind::pacemaker) return under_pacemaker(config);
  const std::string partner = config.pair.partner.text();
  const std::string node = config.pair.node.text();
  const TakeoverConfig& takeover = config.takeover;
  std::vector<Forecast> all;
  all.push_back(taken(config, partner + " is dead, or everything in it stands",
                      fmt::format("known {} after its last beat;", time_text(silent_after(config) + takeover.hold))));
  if (!device_names(config).empty()) all.push_back(fence_fails(config));
  if (auto poison = poisoned(config)) all.push_back(std::move(*poison));
  if (auto fenced = storage_fenced(config)) all.push_back(std::move(*fenced));
  all.push_back({partner + " boots, panics or was reset",
                 takeover.automatic
                     ? "seen in a new life of its kernel, its pools are served here without a fence; while it "
                       "is still dark it counts as dead"
                     : "takeover.automatic is false: an operator runs hapair takeover",
                 takeover.automatic});
  all.push_back({partner + " shuts down in an orderly way",
                 config.hand_over_at_shutdown
                     ? "it stops and releases its pools first, and they are served here at once, if "
                       "it is configured like this node (shutdown.hand_over)"
                     : "it keeps its pools, if it is configured like this node (shutdown.hand_over "
                       "false), and " +
                           time_text(takeover.reboot_silent) + " are waited for its next life",
                 true});
  if (lease_wait(config)) {
    const Duration renewed = config.lease.duration + config.lease.stop;
    const std::string reset = fmt::format(
        "its pools run on while it may be restarted; nobody renews their leases, so after {} at the latest it stops "
        "them or "
        "its watchdog resets it, and they are served here when that is proved",
        time_text(renewed + ccm::reset_bound_of(config.pair.watchdog->timeout)));
    all.push_back({fmt::format("{}'s agent or its ccmd dies or stands, and does not come back", partner), reset, true});
  } else {
    all.push_back(
        taken(config, fmt::format("{}'s agent dies or stands, its pools run on", partner),
              fmt::format("nothing for {}, in which it may be restarted; then", time_text(takeover.agent_silent)),
              "hapair takeover --force", PartnersCcm::answers));
    all.push_back(
        taken(config, fmt::format("{}'s ccmd dies, its pools run on", partner),
              fmt::format("nothing for {}, in which it may be restarted; then", time_text(takeover.ccm_silent)),
              "hapair takeover --force"));
  }
  all.push_back(stalled(config));
  all.push_back(links_lost(config));
  all.push_back(all_links_lost(config));
  if (config.arbiter == ArbiterKind::corosync) add_quorum_lost(config, all);
  if (config.arbiter == ArbiterKind::mailbox && lease_wait(config)) {
    add_mailbox_lost(config, all);
  } else if (has_disk(config)) {
    all.push_back({"the mailbox disk is lost",
                   "told in hapair status; it carries beats and notices only, and nothing else is lost", true});
  }
  all.push_back(
      {fmt::format("{} and {} lose power together", node, partner),
       "whoever comes up first waits for the other, and serves nothing before that has answered; if it stays away: "
       "hapair takeover here, which takes a fence, or hapair confirm-down " +
           partner,
       true});
  return all;
}

std::vector<TimelineStep> takeover_timeline(const AgentConfig& config) {
  std::vector<TimelineStep> steps;
  steps.push_back({"its last beat is missed on every channel: unreachable", silent_after(config)});
  const bool by_cluster = config.arbiter == ArbiterKind::pacemaker;
  if (by_cluster) {
    steps.push_back({"Pacemaker has it fenced and promotes the clone here (its own times)", std::nullopt});
  } else {
    steps.push_back({"the verdict has stood for takeover.hold_ms", config.takeover.hold});
  }
  steps.push_back({"the claim is on this node's disk", std::nullopt});
  Duration round{};
  for (const FenceDeviceConfig& device : config.fencing.devices) {
    if (device.kind == FenceKind::poison) {
      // Of one that died no rail is connected as soon as its unanswered read is given up.
      round += device.delay + config.pair.operation_deadline;
      continue;
    }
    // Off is followed by a question for the status.
    round += device.delay + (device.action == FenceAction::off ? 2 : 1) * device.timeout;
  }
  if (by_cluster) {
    // The promotion is the proof.
  } else if (!device_names(config).empty()) {
    const int rounds = config.fencing.attempts;
    steps.push_back({fmt::format("a fence is confirmed by {} (its own time; given up after {} rounds)",
                                 device_names(config), rounds),
                     rounds * round + (rounds - 1) * config.fencing.retry});
  } else if (const auto wait = lease_wait(config)) {
    steps.push_back({config.arbiter == ArbiterKind::corosync
                         ? "Corosync has formed a ring without it, with quorum (its own times)"
                         : "the claim is decided on the mailbox disks",
                     std::nullopt});
    steps.push_back(
        {fmt::format(
             "its lease is over: lease.duration_ms ({}), lease.stop_ms ({}), its watchdog's bound "
             "({}), and a hundredth for the clocks{}",
             time_text(config.lease.duration), time_text(config.lease.stop),
             time_text(ccm::reset_bound_of(config.pair.watchdog->timeout)),
             config.arbiter == ArbiterKind::corosync ? "; with a quorum device 5.2 x quorum.device.timeout more" : ""),
         wait});
  } else {
    steps.push_back({"an operator confirms that it is down", std::nullopt});
  }
  Duration longest{};
  std::string which;
  for (const PoolConfig& pool : config.pools) {
    // One after the other at worst.
    Duration start{};
    for (const ResourceConfig& resource : pool.resources) start += resource.start_timeout;
    if (start > longest) {
      longest = start;
      which = pool.name.text();
    }
  }
  steps.push_back(
      {fmt::format("the resources are started (their own time; given up by their timeouts, {})", which), longest});
  return steps;
}

}  // namespace hapair::agent
