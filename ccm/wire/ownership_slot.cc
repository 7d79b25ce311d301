#include "ccm/wire/ownership_slot.h"

#include <algorithm>
#include <cstring>

namespace hapair::ccm {
namespace {

constexpr std::size_t kMacAt = offsetof(OwnershipSlotLayout, mac);

const NodeName& writer_of(const SlotPlace& place) {
  return side_of(place.of.node, place.of.partner) == place.writer ? place.of.node : place.of.partner;
}

bool is_side(std::uint8_t value) {
  return value == static_cast<std::uint8_t>(PairSide::lower) || value == static_cast<std::uint8_t>(PairSide::upper);
}

// A value is there where there must be one, and whole.
bool value_fits(bool there, std::uint64_t epoch, std::uint8_t owner) {
  return there ? epoch != 0 && is_side(owner) : epoch == 0 && owner == 0;
}

// The writer's numbers are odd of the lower node and even of the upper, so no two nodes ever use one.
bool number_is_of(std::uint64_t number, PairSide side) {
  return number == 0 || number % 2 == (side == PairSide::lower ? 1 : 0);
}

bool contradicts_itself(const OwnershipSlotLayout& in, PairSide writer) {
  const bool next = in.instance != 0 && in.instance - 1 == in.decided_instance;
  const bool voted = in.voted_in != 0;
  return in.life == 0 || in.sequence == 0 || in.founded > 1 || (in.founded == 0 && in.ballot != 0) ||
         (!next && in.instance != in.decided_instance) || (in.instance == 0 && in.ballot != 0) ||
         in.voted_in > in.ballot || !number_is_of(in.ballot, writer) || !number_is_of(in.voted_in, writer) ||
         !value_fits(voted, in.vote_epoch, in.vote_owner) ||
         !value_fits(in.decided_instance != 0, in.decided_epoch, in.decided_owner) ||
         (next && voted && in.vote_epoch <= in.decided_epoch);
}

}  // namespace

std::string_view text_of(SlotError error) {
  switch (error) {
    case SlotError::blank:
      return "blank";
    case SlotError::garbage:
      return "garbage";
    case SlotError::version:
      return "version";
    case SlotError::foreign_pair:
      return "foreign-pair";
    case SlotError::foreign_node:
      return "foreign-node";
    case SlotError::foreign_pool:
      return "foreign-pool";
    case SlotError::misplaced:
      return "misplaced";
    case SlotError::forged:
      return "forged";
    case SlotError::malformed:
      return "malformed";
  }
  return "unknown";
}

Key slot_key(const Key& pair_key) { return pair_key.derive("hapair ownership slot 1", {}); }

std::array<std::byte, kSlotBytes> encode_slot(const OwnershipSlot& slot, const SlotPlace& place, const Key& key) {
  OwnershipSlotLayout out{};
  out.magic = kSlotMagic;
  out.version = kSlotVersion;
  out.side = static_cast<std::uint8_t>(place.writer);
  out.pool = place.pool_place;
  out.disk = place.disk;
  out.disks = place.disks;
  out.founded = slot.founded ? 1 : 0;
  put_name(out.pair, place.of.pair.view());
  put_name(out.node, writer_of(place).view());
  put_name(out.pool_name, place.pool.view());
  out.life = slot.life;
  out.sequence = slot.sequence;
  out.instance = slot.instance;
  out.ballot = slot.ballot;
  out.voted_in = slot.voted_in;
  out.vote_epoch = slot.vote.epoch.value();
  out.vote_owner = static_cast<std::uint8_t>(slot.vote.owner);
  out.decided_instance = slot.decided.instance;
  out.decided_epoch = slot.decided.value.epoch.value();
  out.decided_owner = static_cast<std::uint8_t>(slot.decided.value.owner);
  out.mac = mac_of(key, {std::as_bytes(std::span(&out, 1)).first(kMacAt)});
  std::array<std::byte, kSlotBytes> bytes{};
  std::memcpy(bytes.data(), &out, sizeof out);
  return bytes;
}

std::expected<OwnershipSlot, SlotError> decode_slot(std::span<const std::byte> block, const SlotPlace& place,
                                                    const Key& key) {
  if (block.size() != kDiskBlockBytes) return std::unexpected(SlotError::garbage);
  OwnershipSlotLayout in;
  std::memcpy(&in, block.data(), sizeof in);
  if (in.magic != kSlotMagic) {
    const bool blank = std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{}; });
    return std::unexpected(blank ? SlotError::blank : SlotError::garbage);
  }
  if (in.version != kSlotVersion) return std::unexpected(SlotError::version);
  if (name_in(in.pair) != place.of.pair.view()) return std::unexpected(SlotError::foreign_pair);
  if (name_in(in.node) != writer_of(place).view()) return std::unexpected(SlotError::foreign_node);
  if (name_in(in.pool_name) != place.pool.view()) return std::unexpected(SlotError::foreign_pool);
  if (!same(in.mac, mac_of(key, {block.first(kMacAt)}))) return std::unexpected(SlotError::forged);
  if (in.side != static_cast<std::uint8_t>(place.writer) || in.pool != place.pool_place || in.disk != place.disk ||
      in.disks != place.disks) {
    return std::unexpected(SlotError::misplaced);
  }
  if (contradicts_itself(in, place.writer)) return std::unexpected(SlotError::malformed);
  return OwnershipSlot{
      .life = in.life,
      .sequence = in.sequence,
      .founded = in.founded == 1,
      .instance = in.instance,
      .ballot = in.ballot,
      .voted_in = in.voted_in,
      .vote = {Epoch(in.vote_epoch), static_cast<PairSide>(in.vote_owner)},
      .decided = {in.decided_instance, {Epoch(in.decided_epoch), static_cast<PairSide>(in.decided_owner)}}};
}

}  // namespace hapair::ccm
