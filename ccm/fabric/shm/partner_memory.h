// The partner's two pages, mapped: one connection of fabric shm. It is bound to the files that were there when it was
// made, so to one life of the partner's CCM.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <expected>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

class PartnerMemory {
 public:
  // not_listening: no CCM holds its page there. refused: it is there, and this process may not have it.
  static std::expected<PartnerMemory, FabricError> attach(const std::string& status_path,
                                                          const std::string& mailbox_path);

  // That life of the CCM still holds its page, and the page is still the one that others would find.
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::span<const std::byte> status() const { return status_.bytes(); }
  [[nodiscard]] std::span<std::byte> mailbox() const { return mailbox_.bytes(); }

 private:
  std::string status_path_;
  Fd status_fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Mapping status_;
  Mapping mailbox_;
};

}  // namespace hapair::ccm
