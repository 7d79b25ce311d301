#include "agent/cli/mailbox_commands.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "agent/cli/answer.h"
#include "agent/cli/mailbox_disk.h"
#include "agent/cli/mailbox_pools.h"
#include "agent/cli/mailbox_sight.h"
#include "agent/cli/text.h"
#include "agent/config/agent_config.h"
#include "ccm/config/pair_config.h"

namespace hapair::cli {
namespace {

// So long a beat is looked at before it is said to stand: five of the disk's paces, where they are not too quick for
// it.
Duration patience_of(const ccm::NetworkConfig& disk) {
  return std::max<Duration>(5 * disk.pace, std::chrono::milliseconds(500));
}
// ccmd reads twice and writes once for each beat.
constexpr int kAccessesABeat = 3;

struct Chosen {
  ccm::PairConfig pair;
  std::vector<PoolName> pools;
  std::vector<ccm::NetworkConfig> disks;

  [[nodiscard]] std::uint8_t number_of(const ccm::NetworkConfig& disk) const {
    const auto found = std::ranges::find(pair.networks, disk.device, &ccm::NetworkConfig::device);
    return static_cast<std::uint8_t>(found - pair.networks.begin());
  }
  [[nodiscard]] MailboxSight look(const ccm::NetworkConfig& disk, const ccm::Key& key) const {
    return look_at_mailbox(disk.device, of(), number_of(disk), key, patience_of(disk));
  }
  // Nothing where it cannot be read, or decides nothing.
  [[nodiscard]] std::optional<PoolsOnDisk> look_at_ownership(const ccm::NetworkConfig& disk, const MailboxSight& sight,
                                                             const ccm::Key& key) const {
    const auto deciding = agent::deciding_disks(pair);
    const auto place = std::ranges::find(deciding, disk.device);
    if (!sight.whole() || place == deciding.end()) return std::nullopt;
    return look_at_pools(disk.device, of(), pools, static_cast<std::size_t>(place - deciding.begin()), deciding.size(),
                         key);
  }
  [[nodiscard]] ccm::DiskPair of() const { return {pair.pair, pair.node, pair.partner}; }
};

// The configuration's disks, or those of them that were named: a disk by a wrong name is a disk with somebody's data.
std::expected<Chosen, Exit> choose(const Common& common, const std::vector<std::string>& devices) {
  const auto config = agent::load_agent_config(common.config);
  if (!config) {
    if (common.json) print_json({{"error", config.error().lines().front()}});
    for (const std::string& problem : config.error().lines()) std::fprintf(stderr, "%s\n", problem.c_str());
    return std::unexpected(Exit::configuration);
  }
  Chosen chosen{config->pair, {}, {}};
  for (const agent::PoolConfig& pool : config->pools) chosen.pools.push_back(pool.name);
  std::string known;
  for (const ccm::NetworkConfig& network : chosen.pair.networks) {
    if (network.device.empty()) continue;
    known += (known.empty() ? "" : ", ") + network.device;
    const bool named = devices.empty() || std::ranges::find(devices, network.device) != devices.end();
    if (named) chosen.disks.push_back(network);
  }
  for (const std::string& device : devices) {
    if (std::ranges::find(chosen.disks, device, &ccm::NetworkConfig::device) != chosen.disks.end()) continue;
    return std::unexpected(
        complain(common, {Exit::failed, device + " is no mailbox disk of " + common.config + ", which has " +
                                            (known.empty() ? "none (ccm.mailbox_disks)" : known)}));
  }
  if (chosen.disks.empty()) {
    return std::unexpected(
        complain(common, {Exit::failed, common.config + " has no mailbox disk (ccm.mailbox_disks)"}));
  }
  return chosen;
}

// What is wrong with the disk, and what to do; empty where nothing is.
std::string trouble_of(const ccm::NetworkConfig& disk, const MailboxSight& sight) {
  if (sight.not_ours) {
    return disk.device + ": " + std::string(text_of(*sight.not_ours)) +
           ". Where it is to be this pair's: hapair mailbox init " + disk.device +
           std::string(init_option(*sight.not_ours));
  }
  switch (sight.error) {
    case 0:
      return {};
    case EINVAL:
      return disk.device + ": what it is on takes no direct I/O; use a block device, or a file on a disk";
    case EIO:
      return disk.device + ": cannot be read, or ends before its area does; look at the disk and its path";
    case EACCES:
      return disk.device + ": " + std::strerror(EACCES) + "; only root may look at it";
    default:
      return disk.device + ": " + std::strerror(sight.error);
  }
}

std::string sentence_of(const BlockSight& block, Duration span) {
  const auto beat_text = [&] {
    return fmt::format("beat {} of incarnation {}, in phase {}, agent {}", block.last->sequence,
                       block.last->incarnation.value(), ccm::text_of(block.last->news.phase),
                       ccm::text_of(block.last->news.agent_state));
  };
  switch (block.state) {
    case BlockSight::State::blank:
      return "has never beaten there";
    case BlockSight::State::garbage:
      return "what stands in its place is no beat of this node";
    case BlockSight::State::forged:
      return "what stands in its place does not carry the MAC of this pair's key: compare the two key files (what an "
             "earlier key signed stays until this node beats again)";
    case BlockSight::State::version:
      return "beats in another version: install the same hapair on both nodes";
    case BlockSight::State::misdirected:
      return "beats here as on another disk or network of the pair: list ccm.networks and ccm.mailbox_disks in the "
             "same "
             "order on both nodes";
    case BlockSight::State::beats:
      return fmt::format("beats: {}", beat_text());
    case BlockSight::State::stands:
      return fmt::format("stands for {:.0f} ms and longer at {}", ms_of(span), beat_text());
  }
  return {};
}

std::string reads_text(const std::vector<Duration>& reads) {
  if (reads.empty()) return "none";
  return fmt::format("{:.2f} / {:.2f} / {:.2f} ms (min / median / max of {})", ms_of(reads.front()),
                     ms_of(reads[reads.size() / 2]), ms_of(reads.back()), reads.size());
}

Json json_of(const ccm::NetworkConfig& disk, const MailboxSight& sight, const std::optional<PoolsOnDisk>& pools) {
  Json out{{"name", disk.name.text()}, {"device", disk.device}, {"ours", !sight.not_ours && sight.error == 0}};
  out["problem"] = trouble_of(disk, sight);
  out["looked_ms"] = ms_of(sight.span);
  Json nodes = Json::array();
  for (const BlockSight& block : sight.blocks) {
    if (!sight.whole()) break;
    Json node{{"node", block.node.text()}, {"state", std::string(text_of(block.state))}};
    if (block.last) {
      node["incarnation"] = block.last->incarnation.value();
      node["boot_id"] = block.last->boot_id.text();
      node["sequence"] = block.last->sequence;
      node["moved_by"] = block.moved_by;
      node["phase"] = std::string(ccm::text_of(block.last->news.phase));
      node["agent"] = std::string(ccm::text_of(block.last->news.agent_state));
    }
    nodes.push_back(std::move(node));
  }
  out["nodes"] = std::move(nodes);
  out["pools"] = pools ? json_of(*pools) : Json::array();
  Json reads{{"n", sight.reads.size()}};
  if (!sight.reads.empty()) {
    reads["min_ms"] = ms_of(sight.reads.front());
    reads["median_ms"] = ms_of(sight.reads[sight.reads.size() / 2]);
    reads["max_ms"] = ms_of(sight.reads.back());
  }
  out["reads"] = std::move(reads);
  return out;
}

void print_sight(const Chosen& chosen, const ccm::NetworkConfig& disk, const MailboxSight& sight,
                 const std::optional<PoolsOnDisk>& pools) {
  if (const std::string trouble = trouble_of(disk, sight); !trouble.empty()) {
    print(fmt::format("  {}\n", trouble));
    return;
  }
  print(fmt::format("  the area of pair {}, version {}, {} blocks of {} bytes\n", chosen.pair.pair.view(),
                    ccm::kDiskVersion, ccm::kDiskBlocks, ccm::kDiskBlockBytes));
  const std::size_t columns = std::max(chosen.pair.node.view().size(), chosen.pair.partner.view().size());
  for (const BlockSight& block : sight.blocks) {
    print(fmt::format("  {}  {}\n", padded(block.node.view(), columns), sentence_of(block, sight.span)));
  }
  print(pools ? text_of(*pools) : "  decides nothing: of an even number of disks one is left out\n");
  print(fmt::format("  a direct read takes {}\n", reads_text(sight.reads)));
}

std::vector<std::string> problems_of(const ccm::NetworkConfig& disk, const MailboxSight& sight) {
  std::vector<std::string> problems = problems_of_device(disk.device);
  if (const std::string trouble = trouble_of(disk, sight); !trouble.empty() && sight.error != ENOENT) {
    problems.push_back(trouble);
  }
  const Duration usual = sight.reads.empty() ? Duration{} : sight.reads[sight.reads.size() / 2];
  if (kAccessesABeat * usual > disk.pace) {
    problems.push_back(fmt::format(
        "{}: half of the reads take {:.1f} ms and longer; a beat needs {} accesses, and pace_ms is {:g}: give it a "
        "longer pace, or a quicker path",
        disk.device, ms_of(usual), kAccessesABeat, ms_of(disk.pace)));
  }
  for (const BlockSight& block : sight.blocks) {
    const bool right = block.state == BlockSight::State::blank || block.state == BlockSight::State::beats ||
                       block.state == BlockSight::State::stands;
    if (sight.whole() && !right) {
      problems.push_back(fmt::format("{}: {}: {}", disk.device, block.node.view(), sentence_of(block, sight.span)));
    }
  }
  return problems;
}

std::expected<ccm::Key, Exit> key_of(const Common& common, const ccm::PairConfig& pair) {
  auto key = ccm::load_key(pair.key_file);
  if (key) return *key;
  return std::unexpected(complain(common, {Exit::configuration, key.error()}));
}

}  // namespace

Exit init_mailbox(const Common& common, const std::string& device, bool overwrite) {
  const auto chosen = choose(common, {device});
  if (!chosen) return chosen.error();
  const auto made = make_mailbox_area(device, chosen->of(), overwrite);
  if (!made) return complain(common, {Exit::failed, made.error()});
  const bool was_there = *made == MadeArea::was_there;
  if (common.json) {
    print_json({{"device", device}, {"made", !was_there}});
  } else {
    print(device + (was_there ? " is this pair's already; nothing was changed\n"
                    : *made == MadeArea::made_anew
                        ? " was this pair's and is made anew: nothing is known there any more of who owns which pool\n"
                        : " is now a mailbox disk of pair " + chosen->pair.pair.text() +
                              "; both ccmds take it up by themselves\n"));
  }
  return Exit::ok;
}

Exit show_mailboxes(const Common& common, const std::vector<std::string>& devices) {
  const auto chosen = choose(common, devices);
  if (!chosen) return chosen.error();
  const auto key = key_of(common, chosen->pair);
  if (!key) return key.error();
  Exit exit = Exit::ok;
  Json shown = Json::array();
  for (const ccm::NetworkConfig& disk : chosen->disks) {
    if (!common.json) {
      print(fmt::format("{}: {}\n", disk.title(), disk.device));
      std::fflush(stdout);  // a disk that does not answer keeps this program waiting
    }
    const MailboxSight sight = chosen->look(disk, *key);
    const auto pools = chosen->look_at_ownership(disk, sight, *key);
    if (!sight.whole() || (pools && pools->error != 0)) exit = Exit::failed;
    if (common.json) {
      shown.push_back(json_of(disk, sight, pools));
    } else {
      print_sight(*chosen, disk, sight, pools);
    }
  }
  if (common.json) print_json({{"disks", shown}});
  return exit;
}

Exit check_mailboxes(const Common& common, const std::vector<std::string>& devices) {
  const auto chosen = choose(common, devices);
  if (!chosen) return chosen.error();
  const auto key = key_of(common, chosen->pair);
  if (!key) return key.error();
  std::vector<std::string> problems;
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < chosen->disks.size(); ++i) {
    const ccm::NetworkConfig& disk = chosen->disks[i];
    const MailboxSight sight = chosen->look(disk, *key);
    std::vector<std::string> found = problems_of(disk, sight);
    if (const auto pools = chosen->look_at_ownership(disk, sight, *key)) {
      const std::vector<std::string> unusable = problems_of(*pools);
      for (const std::string& problem : unusable) found.push_back(disk.device + ": " + problem);
    }
    for (std::size_t other = 0; other < i; ++other) {
      if (!same_disk(disk.device, chosen->disks[other].device)) continue;
      found.push_back(disk.device + " and " + chosen->disks[other].device + " are one disk: what fails one fails both");
    }
    problems.insert(problems.end(), found.begin(), found.end());
    if (name_may_move(disk.device)) {
      notes.push_back(disk.device +
                      ": may be another disk's name after the next boot; one below /dev/disk/by-id or "
                      "/dev/mapper stays (nothing is written to a disk that is not this pair's)");
    }
    if (!common.json && found.empty()) {
      print(fmt::format("{}: ok; a direct read takes {}\n", disk.device, reads_text(sight.reads)));
    }
  }
  if (common.json) print_json({{"ok", problems.empty()}, {"problems", problems}, {"notes", notes}});
  for (const std::string& note : common.json ? std::vector<std::string>{} : notes) print("note: " + note + "\n");
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  return problems.empty() ? Exit::ok : Exit::failed;
}

}  // namespace hapair::cli
