// A slot of a mailbox disk, which whoever reaches the disk can write.
//   byte 0: bit 0 the names, the place and the MAC are put right; the rest is the slot
#include <algorithm>
#include <cstring>
#include <vector>

#include "ccm/wire/ownership_slot.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::ccm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Key key = slot_key(Key::from_secret(std::as_bytes(std::span("a secret of at least thirty-two bytes"))));
  fuzz::Input input(data, size);
  const bool right = input.byte() % 2 == 1;
  const auto rest = input.rest();
  const SlotPlace place{.of = {*PairName::parse("pair"), *NodeName::parse("alpha"), *NodeName::parse("beta")},
                        .writer = PairSide::upper,
                        .pool = *PoolName::parse("pool-a"),
                        .pool_place = 2,
                        .disk = 0,
                        .disks = 3};
  std::vector<std::byte> block(kDiskBlockBytes);
  std::copy_n(rest.begin(), std::min(rest.size(), block.size()), block.begin());
  if (right) {
    OwnershipSlotLayout layout;
    std::memcpy(&layout, block.data(), sizeof layout);
    layout.magic = kSlotMagic;
    layout.version = kSlotVersion;
    layout.side = static_cast<std::uint8_t>(place.writer);
    layout.pool = place.pool_place;
    layout.disk = place.disk;
    layout.disks = place.disks;
    put_name(layout.pair, "pair");
    put_name(layout.node, "beta");
    put_name(layout.pool_name, "pool-a");
    layout.mac = mac_of(key, {std::as_bytes(std::span(&layout, 1)).first(offsetof(OwnershipSlotLayout, mac))});
    std::memcpy(block.data(), &layout, sizeof layout);
  }
  const auto slot = decode_slot(block, place, key);
  FUZZ_CHECK(!slot || right);  // without the key nothing counts
  if (!slot) return 0;
  FUZZ_CHECK(slot->instance == slot->decided.instance || slot->instance == slot->decided.instance + 1);
  FUZZ_CHECK(slot->voted_in <= slot->ballot && (slot->voted_in == 0) == (slot->vote.owner == PairSide::none));
  std::vector<std::byte> again(kDiskBlockBytes);
  std::ranges::copy(encode_slot(*slot, place, key), again.begin());
  FUZZ_CHECK(decode_slot(again, place, key) == *slot);
  return 0;
}
