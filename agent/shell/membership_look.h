// Has Corosync look at once who is there, instead of waiting until its token is lost, by its own documented keys
// (cmap_keys(8)): `runtime.force_gather` makes this node ask every member, and whoever has not answered within
// `totem.consensus` is left out; that is lowered for it and put back afterwards. A member that answers in that time
// stays one, so a look because of a mistake costs a new ring; a member that stands for longer than that is left out,
// though it would have been waited for otherwise.
//
// What totem.consensus was, and what it was lowered to, is kept meanwhile in Corosync itself, as
// `hapair-look.consensus`
// ("BEFORE LOWERED", ms; before 0: not set): there it is found by an agent that comes after, and it is gone when
// Corosync is. It is put back only where it still is what it was lowered to.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/shell/event_source.h"
#include "agent/shell/process.h"
#include "ccm/base/time.h"

namespace hapair::agent {

class MembershipLook {
 public:
  // From the loop. `said`: why it does not look; empty: it does.
  using Done = std::function<void(const std::string& said, Duration took)>;
  // A sentence: what was lowered could not be put back.
  using Trouble = std::function<void(const std::string& sentence)>;
  // All outlive this. `after`: how long after a look what was lowered is put back, and how long until that is tried
  // again. `pause`: how long after a look the next one is refused.
  struct Parts {
    sd_event* loop;
    const Clock* clock;
    ProcessRunner* runner;
    const PacemakerConfig* config;
    Duration after = std::chrono::seconds(3);
    Duration pause = std::chrono::seconds(5);
  };
  MembershipLook(const Parts& parts, Done done, Trouble trouble);
  MembershipLook(const MembershipLook&) = delete;
  MembershipLook& operator=(const MembershipLook&) = delete;

  // At the agent's start: puts back what an earlier life of it left lowered.
  void take_up();
  // One at a time: asked for while one is under way, that one's end is the answer.
  void look();

 private:
  using Answer = void (MembershipLook::*)(const ProcessResult&);
  void ask(std::vector<std::string> arguments, Answer answer);
  void found(const ProcessResult& result);
  void noted(const ProcessResult& result);
  void lowered(const ProcessResult& result);
  void gather();
  void gathered(const ProcessResult& result);
  void end(const std::string& said);
  void put_back_later();
  static int on_put_back(sd_event_source* source, std::uint64_t when, void* context);
  static int on_refused(sd_event_source* source, void* context);
  void put_back(const ProcessResult& result);
  void was_put_back(const ProcessResult& result);
  void forget();
  void forgotten(const ProcessResult& result);

  Parts parts_;
  Done done_;
  Trouble trouble_;
  std::unique_ptr<RunningProcess> running_;
  EventSource timer_;
  bool looks_ = false;     // a look is under way
  bool wanted_ = false;    // and one is to begin when what runs is over
  bool takes_up_ = false;  // no look: what is left lowered is found out
  Instant began_;
  std::optional<Instant> looked_at_;
  EventSource refused_;
  struct Lowered {
    std::uint32_t before_ms = 0;
    std::uint32_t to_ms = 0;
  };
  std::optional<Lowered> lowered_;
  unsigned tries_ = 0;
};

}  // namespace hapair::agent
