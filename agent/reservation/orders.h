// What hapair-reserve is asked to do with a list of disks: as a resource of a pool (start, stop, monitor), as a fence,
// and to look before anything runs. The disks are asked beside each other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/reservation/key.h"
#include "agent/reservation/reservable_disk.h"

namespace hapair::agent {

using Disks = std::vector<std::unique_ptr<ReservableDisk>>;

// Exit codes: of a resource as of an OCF agent, of a fence as of a fence agent.
inline constexpr int kReserveDone = 0;
inline constexpr int kReserveFailed = 1;      // of a fence: nothing was done to any disk
inline constexpr int kReserveUnclear = 3;     // of a fence: some of it may have been done
inline constexpr int kReserveNotHeld = 7;     // of a monitor
inline constexpr int kReserveDegraded = 190;  // of a monitor: held, and something is amiss
inline constexpr int kFenceStatusOff = 2;
// Not 2, which would say of a fence's status that the partner is off.
inline constexpr int kReserveUsage = 64;

struct ReserveAnswer {
  int code = kReserveFailed;
  std::string words;  // one line; may be empty on success
};

// Changes nothing on any disk where one of them is refused.
ReserveAnswer start_reservation(Disks& disks, const Keyring& keys);
struct StopAnswer {
  ReserveAnswer answer;
  bool all_were_held = false;
};
StopAnswer stop_reservation(Disks& disks, const Keyring& keys);
ReserveAnswer monitor_reservation(Disks& disks, const Keyring& keys);
ReserveAnswer check_reservation(Disks& disks, const Keyring& keys);

// A fence of the partner: `others` become this node's own, so that the partner's writes to them are refused. `held` are
// those that this node has taken for the pools that it serves: it looks before and afterwards whether they are still
// its own, and confirms nothing where one is not. Of two nodes that do so to each other at once, at most one is
// confirmed: its last look came before the other's preemption, so the other's last look shows that preemption's
// counterpart.
ReserveAnswer fence_by_reservation(Disks& held, Disks& others, const Keyring& keys);
ReserveAnswer status_of_fence(Disks& held, Disks& others, const Keyring& keys);

}  // namespace hapair::agent
