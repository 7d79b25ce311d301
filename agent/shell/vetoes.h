// Asks a pool's veto programs, one after the other, whether a planned move may be made. Exit status 0: nothing is
// against it; any other, or no answer: a veto, whose reason is the last line that the program wrote.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/core/model.h"
#include "agent/shell/event_source.h"
#include "agent/shell/process.h"

namespace hapair::agent {

class Vetoes {
 public:
  // What stands against it, each with the name of who says so; empty: nothing.
  using Done = std::function<void(PoolIndex, std::vector<std::string>)>;

  // `loop`, `runner`, `pools` and the names outlive this. `done` is called from the loop, never from inside ask().
  Vetoes(sd_event* loop, ProcessRunner& runner, const std::vector<PoolConfig>& pools, const NodeName& node,
         const NodeName& partner, Done done);

  // Only of a pool that has vetoes and is not being asked about.
  void ask(PoolIndex pool);

 private:
  struct Round {
    std::size_t next = 0;
    std::vector<std::string> said;
    std::unique_ptr<RunningProcess> running;
  };

  static int on_soon(sd_event_source* source, void* context);
  bool hangs(const std::string& program);
  void run_next(PoolIndex pool);
  void finish(PoolIndex pool);
  void answered(PoolIndex pool, const ProcessResult& result);

  sd_event* loop_;
  ProcessRunner* runner_;
  const std::vector<PoolConfig>* pools_;
  const NodeName* node_;
  const NodeName* partner_;
  Done done_;
  std::map<PoolIndex, Round> rounds_;
  std::map<std::string, int> left_behind_;  // the process group of a program that did not end even at SIGKILL
  EventSource soon_;
};

}  // namespace hapair::agent
