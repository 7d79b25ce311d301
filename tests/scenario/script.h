// The small language of the scenario files: steps between blank lines; in each, prose (#), commands, a line of four
// dashes, and the log that is expected: times in milliseconds since the step began, the node that tells, and its words.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "tests/scenario/world.h"

namespace hapair::world {

struct Step {
  std::vector<std::string> prose;
  std::vector<std::string> commands;
  std::vector<std::string> expected;
};

std::vector<Step> parse_script(const std::string& text);
std::string print_script(const std::vector<Step>& steps);

class Script {
 public:
  Script();
  // Runs one step's commands and gives the log; the error is a sentence about a command that cannot be read.
  std::expected<std::vector<std::string>, std::string> run(const Step& step);
  World& world() { return *world_; }

 private:
  std::expected<void, std::string> run_command(const std::string& line, std::vector<std::string>& log);
  void collect(std::vector<std::string>& log);
  void begin_anew();

  std::unique_ptr<World> world_;
  agent::EnginePolicy policy_;
  bool network_ = false;
  std::size_t rails_ = 0;
  bool corosync_ = false;
  Duration device_slack_{};
  std::size_t mailbox_disks_ = 0;
  bool mailbox_beats_ = false;
  ccm::PoisonReset poison_reset_ = ccm::PoisonReset::watchdog;
  bool vetoes_ = false;
  std::vector<std::string> hidden_;
  Instant began_;
};

}  // namespace hapair::world
