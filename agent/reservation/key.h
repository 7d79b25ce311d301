// The keys that this pair registers at its disks (SCSI-3 persistent reservations), and whose a key is that is found
// there.
//
//   bits 63..24   the node: from the pair's key, the pair's name and the node's; the lowest of them is 1, so no key is
//   0 bits 23..0    the life of the node's kernel: from the pair's key, the node and its boot id
//
// A node that restarts hapair goes on under its key; one that boots has another, and knows the old one for its own.
// A key of any other node is told from these by 40 bits that only who has the pair's key can compute.
#pragma once

#include <cstdint>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/wire/mac.h"

namespace hapair::agent {

using ReservationKey = Number<struct ReservationKeyTag>;
// As sg_persist takes and shows it: "0x9c1d5".
std::string text_of(ReservationKey key);

enum class KeyOwner : std::uint8_t {
  own,          // this node, in this life of its kernel
  own_earlier,  // this node, before it booted
  partner,      // in whichever life
  foreign,      // nobody of this pair
};

struct PairNames {
  PairName pair;
  NodeName node;  // this one
  NodeName partner;
};

class Keyring {
 public:
  Keyring(const ccm::Key& pair_key, const PairNames& names, const BootId& boot_id);

  [[nodiscard]] ReservationKey own() const { return own_; }
  [[nodiscard]] KeyOwner owner_of(ReservationKey key) const;
  // For a sentence: "beta's key 0x...", "the key 0x... of nobody in pair lab".
  [[nodiscard]] std::string title_of(ReservationKey key) const;
  [[nodiscard]] const PairNames& names() const { return names_; }

 private:
  PairNames names_;
  ReservationKey own_;
  std::uint64_t partner_node_ = 0;  // bits 63..24 of its keys
};

}  // namespace hapair::agent
