#include "tests/sim/mutants.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

namespace hapair::sim {
namespace {

// What a command printed and how it ended. The commands are of this build alone: no shell word comes from outside.
struct Ended {
  int status = -1;
  std::string printed;
};

Ended call(const std::string& command) {
  Ended ended;
  std::fflush(stdout);
  FILE* const out = popen((command + " 2>&1").c_str(), "r");
  if (out == nullptr) return ended;
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), out) != nullptr) ended.printed += buffer.data();
  ended.status = pclose(out);
  return ended;
}

// The lines "word: text" up to the first part.
std::map<std::string, std::string> head_of(std::istream& in) {
  std::map<std::string, std::string> head;
  for (std::string line; std::getline(in, line) && !line.starts_with("----");) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) head[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return head;
}

std::uint64_t number_of(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The seed in "violation in run N (seed M): ..."
std::optional<std::uint64_t> run_of(const std::string& printed) {
  static constexpr std::string_view kBefore = "violation in run ";
  const std::size_t at = printed.find(kBefore);
  if (at == std::string::npos) return std::nullopt;
  return number_of(printed.substr(at + kBefore.size()));
}

std::string what_of(const std::string& printed) {
  const std::size_t at = printed.find("): ", printed.find("violation in run "));
  const std::size_t end = printed.find('\n', at);
  return at == std::string::npos ? "" : printed.substr(at + 3, end - at - 3);
}

}  // namespace

std::expected<std::vector<Mutant>, std::string> read_mutants() {
  std::vector<Mutant> mutants;
  for (const auto& entry : std::filesystem::directory_iterator(HAPAIR_MUTANTS)) {
    if (entry.path().extension() != ".mutant") continue;
    std::ifstream in(entry.path());
    auto head = head_of(in);
    Mutant mutant{entry.path().stem(), head["file"], head["mistake"], head["rule"], number_of(head["within"])};
    if (mutant.file.empty() || mutant.mistake.empty() || mutant.rule.empty() || mutant.within == 0) {
      return std::unexpected(entry.path().string() + ": its head must have file, mistake, rule and within (runs)");
    }
    mutants.push_back(std::move(mutant));
  }
  if (mutants.empty()) return std::unexpected(std::string(HAPAIR_MUTANTS) + ": there is no mutant");
  std::ranges::sort(mutants, {}, &Mutant::name);
  return mutants;
}

bool find_mutants(const std::vector<Mutant>& mutants, unsigned jobs) {
  std::string targets;
  for (const Mutant& mutant : mutants) targets += " sim-" + mutant.name;
  const Ended built =
      call(fmt::format("'{}' --build '{}' --parallel {} --target{}", HAPAIR_CMAKE, HAPAIR_BUILD, jobs, targets));
  if (built.status != 0) {
    fmt::print("{}\nnot every mutant could be built\n", built.printed);
    return false;
  }
  std::size_t found = 0;
  for (const Mutant& mutant : mutants) {
    const Ended ran = call(fmt::format("'{}/tests/sim/mutants/sim-{}' --runs {} --jobs {} --no-quiet --brief",
                                       HAPAIR_BUILD, mutant.name, mutant.within, jobs));
    const std::optional<std::uint64_t> run = run_of(ran.printed);
    if (run) {
      ++found;
      fmt::print("{:<28} found in run {:>4} of {:>4}: {}\n", mutant.name, *run, mutant.within, what_of(ran.printed));
    } else if (ran.status == 0) {
      fmt::print("{:<28} SURVIVES {} runs. {} ({}; the rule: {})\n", mutant.name, mutant.within, mutant.mistake,
                 mutant.file, mutant.rule);
    } else {
      fmt::print("{:<28} COULD NOT BE RUN\n{}\n", mutant.name, ran.printed);
    }
    std::fflush(stdout);
  }
  fmt::print("{} of {} mutants found\n", found, mutants.size());
  return found == mutants.size();
}

}  // namespace hapair::sim
