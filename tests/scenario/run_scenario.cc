// run_scenario FILE: runs one scenario and compares its log; with UPDATE_SCENARIOS=1 the file's expected log is
// rewritten to what happened. Exit status 0: as expected, and no checker found anything.
#include <fmt/core.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/scenario/script.h"

using hapair::world::Script;
using hapair::world::Step;

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} FILE.scenario\n", argv[0]);
    return 2;
  }
  std::ifstream in(argv[1]);
  if (!in) {
    fmt::print(stderr, "{}: cannot be read\n", argv[1]);
    return 2;
  }
  std::stringstream text;
  text << in.rdbuf();
  std::vector<Step> steps = hapair::world::parse_script(text.str());
  Script script;
  bool ok = true;
  for (Step& step : steps) {
    const auto log = script.run(step);
    if (!log) {
      fmt::print(stderr, "{}: {}\n", argv[1], log.error());
      return 2;
    }
    if (*log != step.expected) {
      std::string commands;
      for (const std::string& line : step.commands) commands += line + "\n";
      fmt::print("{}: the log is another one than expected after\n{}---- expected\n", argv[1], commands);
      for (const std::string& line : step.expected) fmt::print("{}\n", line);
      fmt::print("---- happened\n");
      for (const std::string& line : *log) fmt::print("{}\n", line);
      ok = false;
    }
    step.expected = *log;
  }
  if (std::getenv("UPDATE_SCENARIOS") != nullptr) {
    std::ofstream(argv[1]) << hapair::world::print_script(steps);
    ok = true;
  }
  for (const std::string& violation : script.world().violations()) {
    fmt::print("checker: {}\n", violation);
    ok = false;
  }
  return ok ? 0 : 1;
}
