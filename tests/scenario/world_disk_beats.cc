// Beats and notices over the world's mailbox disks: the shipped exchange and the shipped bytes, around them a disk that
// stalls, is lost, keeps a write for later, and answers a read with what was there before, or half of it.
#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

constexpr std::uint64_t kEvery = 5;  // of the CCM's beats
constexpr Duration kWriteTime = milliseconds(2);
constexpr Duration kReadTime = milliseconds(1);
constexpr Duration kDeadline = milliseconds(400);
constexpr int kLongestStallMs = 1500;
constexpr std::size_t kSector = 512;

ccm::Key pair_key() {
  static constexpr std::string_view kSecret = "the key of the simulated pair 012";
  return ccm::Key::from_secret(std::as_bytes(std::span(kSecret)));
}

}  // namespace

void World::limits_of_disk_beats(heartbeat::WatchLimits& limits) const {
  if (!options_.mailbox_beats) return;
  for (std::size_t disk = 0; disk < options_.mailbox_disks; ++disk) {
    const std::size_t number = disk + (options_.network ? 1 : 0);
    limits.network_paces.at(number) = kEvery * kCcmPace;
    limits.network_lags.at(number) = 2 * kEvery * kCcmPace;
    limits.network_names.at(number) = "disk " + std::to_string(disk + 1);
  }
}

// Of a CCM that starts: nothing is left of what an earlier one had under way but its writes.
void World::begin_disk_beats(NodeIndex index) {
  Node& node = nodes_[index];
  node.ccm->disk_beats.clear();
  if (!options_.mailbox_beats) return;
  for (std::size_t disk = 0; disk < options_.mailbox_disks; ++disk) {
    ccm::BeatIdentity identity{.pair = *PairName::parse("pair"),
                               .node = *NodeName::parse(name(index)),
                               .partner = *NodeName::parse(name(1 - index)),
                               .incarnation = node.ccm->incarnation,
                               .boot_id = node.boot_id,
                               .network = static_cast<std::uint8_t>(disk + (options_.network ? 1 : 0)),
                               .pace = kEvery * kCcmPace};
    node.ccm->disk_beats.emplace_back(identity, pair_key());
  }
}

Duration World::stall() {
  if (options_.seed == 0 || std::uniform_int_distribution<int>(1, 100)(random_) > 3) return {};
  return milliseconds(std::uniform_int_distribution<int>(0, kLongestStallMs)(random_));
}

// With each round of the CCM: what its thread has read is taken, and a beat is handed to it where one is due.
void World::disk_beat_turn(NodeIndex index, std::vector<Seen>& seen) {
  Ccm& own = *nodes_[index].ccm;
  for (std::size_t disk = 0; disk < own.disk_beats.size(); ++disk) {
    DiskBeats& beats = own.disk_beats[disk];
    if (const auto came = std::exchange(beats.came, std::nullopt)) take_disk_block(index, disk, *came, seen);
    if (own.beat % kEvery == 0 && !beats.under_way) write_disk_beat(index, disk);
  }
}

void World::take_disk_block(NodeIndex index, std::size_t disk, const ccm::DiskBlock& block, std::vector<Seen>& seen) {
  DiskBeats& beats = nodes_[index].ccm->disk_beats[disk];
  if (nodes_[index].wrong_key || nodes_[1 - index].wrong_key) return;
  const auto beat = beats.exchange.take(now_, std::span(block).first(ccm::kBeatBytes));
  if (!beat) return;
  Seen told;
  told.observation.when = now_;
  told.observation.network = NetworkId(beat->network);
  told.observation.kind = ccm::ObservationKind::beat;
  told.observation.beat = *beat;
  const auto notice = ccm::open_notice(block, *beat, ccm::notice_key(pair_key()));
  if (notice && notice->there) {
    const agent::BlockReading reading{beat->incarnation, beat->news.ccm_beat, beat->boot_id,
                                      beats.exchange.made_after(), now_};
    told.notice = Notice{reading,
                         {beat->news.agent_state, beat->news.agent_beat, beat->news.agent_life},
                         notice->agent,
                         "mailbox disk " + std::to_string(disk + 1)};
  }
  seen.push_back(std::move(told));
}

void World::write_disk_beat(NodeIndex index, std::size_t disk) {
  Node& node = nodes_[index];
  Ccm& own = *node.ccm;
  DiskBeats& beats = own.disk_beats[disk];
  ccm::BeatNews news{.phase = node.phase, .ccm_beat = own.beat};
  if (own.slot) {
    news.agent_state = own.slot->state;
    news.agent_beat = own.slot->beat;
    news.agent_life = own.slot->life;
  }
  ccm::DiskBlock block;
  ccm::encode_notice(block, beats.exchange.make(now_, news), own.page.agent, ccm::notice_key(pair_key()));
  beats.under_way = true;
  const bool answers = disk_answers(index, disk);
  const Duration time = answers ? vary(kWriteTime) + stall() : kDeadline;
  // Also of a CCM that is killed meanwhile: what the kernel has is written.
  schedule(time, Scope::node, index, [this, index, disk, block, answers, incarnation = own.incarnation] {
    const bool works = answers && disk_answers(index, disk);
    auto& written = disks_.at(disk).beats.at(index);
    if (works) written = {block, written.front()};
    const Node& writer = nodes_[index];
    if (!writer.ccm || writer.ccm->incarnation != incarnation) return;
    if (!works) {
      writer_of(index, disk).under_way = false;
      return;
    }
    read_disk_beat(index, disk, incarnation);
  });
}

World::DiskBeats& World::writer_of(NodeIndex index, std::size_t disk) { return nodes_[index].ccm->disk_beats[disk]; }

// What the read gives is settled when it begins, and told when it ends.
void World::read_disk_beat(NodeIndex index, std::size_t disk, Incarnation incarnation) {
  const MailboxDisk& from = disks_.at(disk);
  const auto& written = from.beats.at(1 - index);
  ccm::DiskBlock content = written.front();
  if (options_.seed != 0) {
    const int luck = std::uniform_int_distribution<int>(1, 100)(random_);
    if (luck <= 15) content = written.back();
    if (luck > 95) std::copy_n(written.back().begin() + kSector, content.size() - kSector, content.begin() + kSector);
  }
  if (from.replays.at(1 - index)) content = *from.recorded.at(1 - index);
  schedule(vary(kReadTime) + stall(), Scope::node, index, [this, index, disk, incarnation, content] {
    const Node& reader = nodes_[index];
    if (!reader.ccm || reader.ccm->incarnation != incarnation) return;
    DiskBeats& beats = writer_of(index, disk);
    beats.under_way = false;
    const bool same = std::equal(content.begin(), content.begin() + ccm::kBeatBytes, beats.last.begin());
    if (!disk_answers(index, disk) || same) return;
    std::copy_n(content.begin(), ccm::kBeatBytes, beats.last.begin());
    beats.came = content;
  });
}

void World::record_block(NodeIndex node, std::size_t disk) {
  if (disk < options_.mailbox_disks) disks_.at(disk).recorded.at(node) = disks_.at(disk).beats.at(node).front();
}

void World::replay_block(NodeIndex node, std::size_t disk) {
  if (disk >= options_.mailbox_disks || !disks_.at(disk).recorded.at(node)) return;
  disks_.at(disk).replays.at(node) = true;
  fault();
}

// The agent's side: what its judge makes of the rails decides whether a notice may count.
void World::take_notice(NodeIndex index, const Notice& notice) {
  Agent& own = *nodes_[index].agent;
  const bool silent = own.watch.assessment().verdict == heartbeat::Verdict::interconnect_lost;
  const agent::NoticeFate fate = own.blocks.take_notice(notice.reading, notice.agent, notice.block, silent);
  if (fate == agent::NoticeFate::handed_on || fate == agent::NoticeFate::nothing_new) own.channel = notice.channel;
  if (fate != agent::NoticeFate::handed_on) return;
  own.told_heard = own.blocks.agent_heard(now_, silent);
  hand_on(index, notice.block, notice.reading.boot_id, notice.channel);
}

void World::look_whether_heard(NodeIndex index) {
  Agent& own = *nodes_[index].agent;
  const bool silent = own.watch.assessment().verdict == heartbeat::Verdict::interconnect_lost;
  const bool heard = own.blocks.agent_heard(now_, silent);
  if (std::exchange(own.told_heard, heard) != heard) step(index, agent::PartnerHeard{heard, own.channel});
}

void World::hand_on(NodeIndex index, const ccm::AgentBlockLayout& block, const BootId& boot_id,
                    const std::string& channel) {
  const bool notice = !channel.empty();
  for (const auto& checker : checkers_) checker->on_told(*this, index, block, notice);
  step(index, agent::PartnerBlock{block, boot_id, channel, notice && nodes_[index].agent->told_heard});
}

}  // namespace hapair::world
