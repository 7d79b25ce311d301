// Fences the partner with agents of the fence-agents package or of the same form (FenceAgentAPI: options on standard
// input, a line each; exit code 0 is success; of "status" 0 is on and 2 is off).
//
// One fence() is one round through the devices in their order; the first that confirms ends it. Confirmed means: "off"
// succeeded and "status" says off afterwards, or "reboot" succeeded. An agent that hangs, dies or answers anything else
// leaves the result unknown: the partner may be off, or not.
//
// Poison is no agent but an order to the partner's ccmd. Confirmed means: it answered that every pool has stopped
// there.
#pragma once

#include <systemd/sd-event.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/config/pool_config.h"
#include "agent/core/model.h"
#include "agent/shell/event_source.h"
#include "agent/shell/poisoner.h"
#include "agent/shell/process.h"
#include "ccm/base/ids.h"

namespace hapair::agent {

// What one device is doing or has come to.
struct FenceStep {
  enum class Kind : std::uint8_t {
    waiting,   // its configured delay
    acting,    // its agent runs with "off" or "reboot"; of poison: the order is given
    taken,     // of poison: the partner's ccmd has it
    resets,    // of poison: and resets its node, for its pools did not stop
    checking,  // its agent runs with "status"
    answered,  // `result` and `reason` are set
  };
  Kind kind = Kind::acting;
  std::string device;
  FenceKind method = FenceKind::agent;
  FenceResult result = FenceResult::unknown;
  std::string reason;
  Duration took{};  // of `answered`: this device's whole turn
};
// For the records: "power: answered unknown after 20003 ms: ...".
std::string sentence_of(const FenceStep& step);

class Fencer {
 public:
  using OnStep = std::function<void(const FenceStep&)>;
  using Done = std::function<void(FenceReport)>;

  // All of the arguments outlive this.
  Fencer(ProcessRunner& runner, sd_event* loop, const Clock& clock, const FencingConfig& config, Poisoner& poisoner);

  // Only while idle. `on_step` and `done` are called from the loop, never from inside fence(); `done` once, and it may
  // call fence().
  void fence(const NodeName& target, OnStep on_step, Done done);
  [[nodiscard]] bool idle() const { return !round_; }
  // Kills the agent that runs; no answer will come.
  void abandon();

 private:
  struct Round {
    NodeName target;
    OnStep on_step;
    Done done;
    Instant started_at;
    std::size_t device = 0;
    Instant device_started_at;
    bool any_unknown = false;
    bool by_partner = false;  // who confirmed
    std::string reasons;      // of every device so far
    std::string last_device;
  };

  [[nodiscard]] const FenceDeviceConfig& device() const { return config_->devices[round_->device]; }
  void begin_device();
  void act();
  void give_poison();
  void hear_of_poison(const PoisonNews& news);
  void acted(const ProcessResult& result);
  void checked(const ProcessResult& result);
  void run_agent(std::string_view action, void (Fencer::*next)(const ProcessResult&));
  void report_step(FenceStep::Kind kind);
  void device_answered(FenceResult result, const std::string& reason);
  void finish(FenceResult result);
  static int on_begin(sd_event_source* source, void* context);
  static int on_poison_timeout(sd_event_source* source, std::uint64_t when_us, void* context);
  static int on_timer(sd_event_source* source, std::uint64_t when_us, void* context);

  ProcessRunner* runner_;
  sd_event* loop_;
  const Clock* clock_;
  const FencingConfig* config_;
  Poisoner* poisoner_;
  std::unique_ptr<Round> round_;
  std::unique_ptr<RunningProcess> running_;
  EventSource timer_;
};

}  // namespace hapair::agent
