// PID 1 of a node: brings it up in the order in which a real one comes up, supervises, and takes it down in order.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "deploy/demo/init/service.h"
#include "deploy/demo/init/spec.h"

namespace hapair::demo {

// The exit status of a node's PID 1: what the machine wants of its power supply.
inline constexpr int kPowerOff = 0;
inline constexpr int kReboot = 3;

class Machine {
 public:
  // `status` receives one word a line: "kernel", "ccm", "root", "services", "up", "stopping", "down".
  Machine(NodeSpec spec, Fd status);
  // Lives the node's life; returns kPowerOff or kReboot.
  int run();

 private:
  // One round of the loop: signals, children, notifications, whatever is due. Waits at most until the next is due.
  void turn();
  void take_signals();
  void reap();
  // Turns until `done` or until `patience` is over or (where `stop_ends_it`) an orderly end was asked for.
  bool turn_until(const std::function<bool()>& done, Duration patience, bool stop_ends_it);
  // Runs one command to its end; false where it failed or took longer than `patience`.
  bool run_command(const std::vector<std::string>& argv, Duration patience);
  void reached(const std::string& word);

  bool plug_port_in();
  void bring_up();
  void take_down();

  NodeSpec spec_;
  Fd status_;
  Fd signals_;
  SystemClock clock_;
  Instant last_turn_;
  Service ccmd_;
  Service tgtd_;
  Service hapaird_;
  pid_t port_ = 0;     // holds this machine's port of the shared-memory interconnect: while it lives the power is on
  pid_t command_ = 0;  // the one command that run_command waits for
  int command_status_ = 0;
  bool stop_asked_ = false;
  int wish_ = kPowerOff;
};

}  // namespace hapair::demo
