// Seeded bugs: each file of mutants/ is one plausible mistake in a shipped core. A simulator with it is built on demand
// (tests/sim/mutants/make_mutant, CMakeLists.txt) and must find a violation within the runs that the file states.
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace hapair::sim {

struct Mutant {
  std::string name;
  std::string file;          // of the mistake
  std::string mistake;       // in one sentence
  std::string rule;          // that it breaks
  std::uint64_t within = 0;  // runs
};
// By their names; the error is a sentence about the folder or a file.
std::expected<std::vector<Mutant>, std::string> read_mutants();

// Builds them, runs each until it is found, prints what came of it. True where each was found within its runs.
bool find_mutants(const std::vector<Mutant>& mutants, unsigned jobs);

}  // namespace hapair::sim
