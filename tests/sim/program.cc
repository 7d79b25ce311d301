#include "tests/sim/program.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

#include "tests/sim/coverage.h"
#include "tests/sim/crew.h"
#include "tests/sim/mutants.h"
#include "tests/sim/run.h"
#include "tests/sim/shrink.h"

namespace {

using hapair::sim::Crew;
using hapair::sim::CrewResult;
using hapair::sim::Tally;

constexpr int kOk = 0;
constexpr int kViolated = 1;
constexpr int kUsage = 2;
constexpr double kMsPerHour = 3'600'000;
constexpr std::uint64_t kMostRuns = 1'000'000'000;

struct Arguments {
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> runs;
  std::uint64_t first = 1;
  unsigned jobs = 1;
  bool every_beat = false;
  bool no_quiet = false;
  bool brief = false;
  std::string mutant;
  bool mutants = false;
};

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds_of_children() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

hapair::world::Plan plan_of(std::uint64_t seed, const Arguments& arguments) {
  hapair::world::Plan plan = hapair::world::draw_plan(seed);
  if (arguments.every_beat) plan.options.leap = false;
  return arguments.no_quiet ? without_quiet(std::move(plan)) : plan;
}

void print_counts(const Tally& tally, const char* title, const char* beginning) {
  fmt::print("{}:\n", title);
  for (const auto& [name, count] : tally.under(beginning)) fmt::print("  {:>12} {}\n", count, name);
}

void print_summary(const Tally& tally, double wall_s, double cpu_s) {
  const double hours = static_cast<double>(tally.of("simulated ms")) / kMsPerHour;
  const double leapt = static_cast<double>(tally.of("leapt ms")) / kMsPerHour;
  fmt::print("runs: {}\n", tally.of("runs"));
  fmt::print(
      "simulated: {:.1f} pair-hours, beats and looks every 10 ms, in {:.1f} s; {:.1f} of them are quiet in which "
      "nothing but beats "
      "happens,\n  leapt over without a change of what any engine or judge sees, and {:.2f} were simulated beat by "
      "beat\n",
      hours, wall_s, leapt, hours - leapt);
  fmt::print("pair-hours a minute: {:.0f}; a minute of one core: {:.0f} ({:.1f} of them beat by beat)\n",
             hours * 60 / wall_s, hours * 60 / cpu_s, (hours - leapt) * 60 / cpu_s);
  print_counts(tally,
               "faults injected (one where it cannot happen, such as the crash of a node that is off, does nothing)",
               "fault/");
  print_counts(tally, "repairs", "repair/");
  print_counts(tally, "commands of an operator", "command/");
  print_counts(tally, "quiet", "quiet/");
  print_counts(tally, "pools taken, by permit (released: also by the partner's answer, where it has none of it)",
               "permit/");
  print_counts(tally, "fences confirmed", "fence/");
  print_counts(tally, "refusals and what was told instead of an act, by reason", "refusal/");
  print_counts(tally, "verdicts", "verdict/");
  hapair::sim::print_coverage(tally);
}

int replay(std::uint64_t seed, const Arguments& arguments) {
  const hapair::world::Plan plan = plan_of(seed, arguments);
  fmt::print("seed {}: {}\n", seed, describe(plan.options));
  hapair::sim::tell_apart([&plan] {
    const auto violations = hapair::sim::run_told(plan);
    if (violations.empty()) fmt::print("no violation\n");
  });
  return hapair::sim::fails(plan) ? kViolated : kOk;
}

void explain(std::uint64_t seed, const Arguments& arguments) {
  const hapair::world::Plan plan = plan_of(seed, arguments);
  const hapair::world::Plan shortest = hapair::sim::shrink(plan);
  fmt::print("seed {}: {}\n{} of its {} acts still show a violation:\n", seed, describe(plan.options),
             shortest.acts.size(), plan.acts.size());
  hapair::sim::tell_apart([&shortest] { hapair::sim::run_told(shortest); });
}

std::string first_violation(std::uint64_t seed, const Arguments& arguments) {
  Tally tally;
  const auto violations = hapair::sim::run_counted(plan_of(seed, arguments), tally);
  return violations.empty() ? "none any more" : violations.front().substr(0, violations.front().find('\n'));
}

int run_many(const Arguments& arguments) {
  const Crew crew{arguments.first, *arguments.runs, arguments.jobs,
                  [&](std::uint64_t seed) { return plan_of(seed, arguments); }};
  const auto began = std::chrono::steady_clock::now();
  const CrewResult result = hapair::sim::run_crew(crew);
  const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (!arguments.brief) print_summary(result.tally, wall_s, cpu_seconds_of_children());
  if (!result.failing) {
    fmt::print("no violation in {} runs (seeds {} to {})\n", crew.runs, crew.first, crew.first + crew.runs - 1);
    return kOk;
  }
  const std::uint64_t run = *result.failing - crew.first + 1;
  fmt::print("violation in run {} (seed {}): ", run, *result.failing);
  hapair::sim::tell_apart([&] { fmt::print("{}\n", first_violation(*result.failing, arguments)); });
  if (!arguments.brief) {
    fmt::print("again, whole: sim {}{}\n", *result.failing, arguments.no_quiet ? " --no-quiet" : "");
    explain(*result.failing, arguments);
  }
  return kViolated;
}

int usage(const std::string& what) {
  fmt::print(stderr, "sim: {}\nSee: sim --help\n", what);
  return kUsage;
}

int run_mutants(const Arguments& arguments) {
  auto mutants = hapair::sim::read_mutants();
  if (!mutants) {
    fmt::print(stderr, "sim: {}\n", mutants.error());
    return kViolated;
  }
  if (!arguments.mutants) {
    std::string known;
    for (const auto& each : *mutants) known += (known.empty() ? "" : ", ") + each.name;
    std::erase_if(*mutants, [&](const auto& each) { return each.name != arguments.mutant; });
    if (mutants->empty())
      return usage(fmt::format("there is no mutant \"{}\"; known are: {}", arguments.mutant, known));
  }
  return hapair::sim::find_mutants(*mutants, arguments.jobs) ? kOk : kViolated;
}

int run(const Arguments& arguments) {
  const int chosen = (arguments.seed ? 1 : 0) + (arguments.runs ? 1 : 0) + (arguments.mutant.empty() ? 0 : 1) +
                     (arguments.mutants ? 1 : 0);
  if (chosen == 0) return usage("what is to be run? a SEED, --runs N, --mutant NAME or --mutants");
  if (chosen > 1) return usage("only one of SEED, --runs, --mutant and --mutants at a time");
  if (arguments.seed) return replay(*arguments.seed, arguments);
  return arguments.runs ? run_many(arguments) : run_mutants(arguments);
}

}  // namespace

int hapair::sim::run_program(int argc, char** argv) {
  CLI::App app{
      "sim: two nodes' shipped engines and judges in a simulated world, under checkers\n"
      "exit status: 0 no violation (of --mutants: each is found), 1 a violation (a mutant survives), 2 usage",
      "sim"};
  Arguments arguments;
  app.add_option("seed", arguments.seed,
                 "run this one and tell what was done, what the operator reads, what was violated");
  app.add_option("--runs", arguments.runs, "so many seeds; counts at the end, the shortest schedule of a violation")
      ->check(CLI::Range(std::uint64_t{1}, kMostRuns));
  app.add_option("--first", arguments.first, "the first of them")->capture_default_str();
  app.add_option("--jobs", arguments.jobs, "processes at a time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_flag("--every-beat", arguments.every_beat, "leap over nothing: slower, and the same");
  app.add_flag("--no-quiet", arguments.no_quiet, "leave out the hours in which all is well: more faults a minute");
  app.add_flag("--brief", arguments.brief, "of --runs: one line at the end");
  app.add_option("--mutant", arguments.mutant, "build a simulator with this seeded bug and show that it is found");
  app.add_flag("--mutants", arguments.mutants, "likewise all of them, listed");
  app.failure_message(
      [](const CLI::App*, const CLI::Error& error) { return fmt::format("sim: {}\nSee: sim --help\n", error.what()); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  try {
    return run(arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sim: {}\n", error.what());
    return kViolated;
  }
}
