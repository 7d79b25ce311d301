// One shared disk as a place of registrations and one reservation, over all of this node's paths to it. A seam: the
// real side asks the kernel (scsi_disk.h); the tests' side is a disk in memory.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

#include "agent/reservation/persistent_reserve.h"

namespace hapair::agent {

struct DiskProblem {
  enum class Kind : std::uint8_t {
    absent,    // this node has no such disk
    conflict,  // RESERVATION CONFLICT: not registered, or not under that key, or another holds it
    silent,    // no answer
    wrong,     // it, or what it says, will not do
  };
  Kind kind = Kind::wrong;
  std::string text;  // a sentence that begins with the disk or path
};

class ReservableDisk {
 public:
  virtual ~ReservableDisk() = default;
  ReservableDisk(const ReservableDisk&) = delete;
  ReservableDisk& operator=(const ReservableDisk&) = delete;

  // As configured.
  [[nodiscard]] virtual const std::string& name() const = 0;
  // At least one; each is registered by itself. Some of them may be silent.
  [[nodiscard]] virtual std::size_t paths() const = 0;
  // Through the first path that answers.
  virtual std::expected<DiskReservations, DiskProblem> read() = 0;
  virtual std::expected<void, DiskProblem> send(std::size_t path, const ReserveOut& command) = 0;

 protected:
  ReservableDisk() = default;
};

}  // namespace hapair::agent
