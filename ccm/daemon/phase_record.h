// The node's boot phase as this life of its kernel knows it: a line in run_dir, which is gone after a reboot. A CCM
// that restarts reads it and never publishes an earlier phase than the node is in.
#pragma once

#include <expected>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

class PhaseRecord {
 public:
  // Reads `file` where it is of this `boot_id`; otherwise the node is in `first` since `now`.
  PhaseRecord(std::string file, const BootId& boot_id, BootPhase first, Instant now);

  [[nodiscard]] BootPhase phase() const { return phase_; }
  [[nodiscard]] Instant since() const { return since_; }

  // False where `next` would take the node back in its life; a pool that is given away and given back again moves it
  // between awaiting-giveback, storage-starting, storage-active and storage-stopping.
  [[nodiscard]] bool allows(BootPhase next) const;
  // The error says why the file could not be written; the phase is taken all the same.
  std::expected<void, std::string> set(BootPhase next, Instant now);

 private:
  std::expected<void, std::string> write() const;

  std::string file_;
  // Its folder, held: a ccmd of the initramfs writes there also after the folder's path has become another root's.
  Fd folder_;
  std::string name_;
  BootId boot_id_;
  BootPhase phase_ = BootPhase::unknown;
  Instant since_;
};

}  // namespace hapair::ccm
