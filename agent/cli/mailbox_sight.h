// What stands on a mailbox disk (ccm/wire/mailbox_disk.h), looked at for a while; nothing is written.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/mailbox_disk.h"

namespace hapair::cli {

// One node's block.
struct BlockSight {
  enum class State : std::uint8_t {
    blank,        // no beat was ever written there
    beats,        // it moved while it was looked at
    stands,       // it did not
    garbage,      // what is there is no beat of that node
    version,      // a beat of a version that this node does not read
    forged,       // its MAC is not of the pair's key
    misdirected,  // a beat of another disk or network of the pair
  };
  NodeName node;
  State state = State::blank;
  std::optional<ccm::BeatView> last;  // of one that beats or stands
  std::uint64_t moved_by = 0;         // beats, within one incarnation

  void take(std::span<const std::byte> block, const ccm::DiskPair& of, std::uint8_t network, const ccm::Key& key);
};
std::string_view text_of(BlockSight::State state);

struct MailboxSight {
  std::optional<ccm::DiskError> not_ours;
  int error = 0;                     // errno of what failed
  std::array<BlockSight, 2> blocks;  // this node's, the partner's
  std::vector<Duration> reads;       // how long each took, the shortest first
  Duration span{};                   // from the first look at both blocks to the last

  [[nodiscard]] bool whole() const { return error == 0 && !not_ours; }
};

// Looks until both nodes were seen to beat, or for `patience` after the first look. `network`: the disk's number among
// the configuration's. Waits for as long as the disk does.
MailboxSight look_at_mailbox(const std::string& device, const ccm::DiskPair& of, std::uint8_t network,
                             const ccm::Key& key, Duration patience);

// What is to be corrected of the device itself, each a sentence; of two devices of one configuration that are one disk
// as well.
std::vector<std::string> problems_of_device(const std::string& device);
// Such a name the kernel gives in the order in which disks appear.
bool name_may_move(std::string_view device);
bool same_disk(const std::string& one, const std::string& other);

}  // namespace hapair::cli
