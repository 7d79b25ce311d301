// Evidence and verdict: what was observed of the partner, and what all of it together allows one to say. A verdict is
// an opinion; the proof that a takeover needs is agent/core's permit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"

namespace hapair::heartbeat {

// DESIGN.md, section 4. Each value says when one leaves it.
enum class Verdict : std::uint8_t {
  unknown,            // nothing was observed yet, or our own CCM tells us nothing; until the first observation
  unproven,           // something answers, but it has not proved that it is the partner; until the handshake completes
  alive,              // the beats move
  storage_stalled,    // all of that, but work that a client told of stands still; until it has moved for its limit
  agent_hung,         // the CCM's beat moves, the agent's stands or its process is gone; until the agent beats again
  hung,               // the memory answers, the software does not; until a beat moves
  rebooted,           // a new boot id in a phase before storage-active: it serves nothing; until its agent beats.
                      // Also a partner first seen while it boots, without an agent
  ccm_restarted,      // a new incarnation in the same life of the kernel: says nothing about the storage
  leaving,            // it published storage-stopping or shutting-down
  panicked,           // its crash kernel says so
  ccm_gone,           // the host answers, its CCM does not
  interconnect_lost,  // rails silent, another channel beats: no takeover
  unreachable,        // everything silent: dead or cut off; arbitration decides
};
std::string_view text_of(Verdict verdict);
// Its agent answers: what it publishes is as it is now.
constexpr bool answers(Verdict verdict) { return verdict == Verdict::alive || verdict == Verdict::storage_stalled; }

// One observed fact, with its time and channel.
struct Evidence {
  Instant when;
  std::string channel;  // "rail ib0", "network mgmt", "own CCM"
  std::string fact;     // "the CCM's beat stands at 812 for 31.2 ms (limit 30 ms)"
};

// A partner that stands in one phase of its way up or down for longer than the configuration allows. It changes no
// verdict: a slow boot is still a boot, and its pool is whose it was.
struct PhaseStall {
  BootId boot_id;
  ccm::BootPhase phase = ccm::BootPhase::unknown;
  Duration in_phase{};  // when it was noticed
  Duration bound{};
};

struct Assessment {
  Verdict verdict = Verdict::unknown;
  Instant since;                  // when this verdict was reached
  std::vector<Evidence> because;  // oldest first
  bool agent_left = false;        // of agent_hung: it said goodbye, so an operator stopped it on purpose
  bool own_link_down =
      false;  // of unreachable: this node's own link is down, so it may well be the one that is cut off
  std::optional<PhaseStall> stalled;  // as its last page with the session's MAC showed it
  std::string hung_client;            // a client of its CCM besides the agent whose beat stands; changes no verdict
};

}  // namespace hapair::heartbeat
