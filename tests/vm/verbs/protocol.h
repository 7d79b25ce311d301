// What the contract test in one machine tells the partner's program in the other, over TCP on the second link: one byte
// of command, one of argument; answered by one byte, or by the mailbox page.
#pragma once

#include <cstdint>

namespace hapair::ccm {

inline constexpr std::uint16_t kPartnerProgramPort = 7999;

enum class PartnerCommand : char {
  start = 's',      // a process that serves its pages; argument: what its status page is full of
  stop = 't',       // SIGSTOP
  go_on = 'c',      // SIGCONT
  kill = 'k',       // SIGKILL
  mailbox = 'm',    // answered by its mailbox page
  link_down = 'd',  // of the first link
  link_up = 'u',
  device_away = 'a',  // the RDMA device of the first link
  device_back = 'b',
};

}  // namespace hapair::ccm
