#include "tests/sim/run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <string_view>

namespace hapair::sim {
namespace {

using world::Act;
using world::Schedule;
using world::Told;
using world::World;

// Records of something that was not done, or not so by itself.
constexpr std::string_view kRefusals[] = {"command-refused", "fence-limit",       "fence-doubted", "giveback-limit",
                                          "needs-operator",  "held-back",         "vetoed",        "waits-for-partner",
                                          "offline",         "record-not-written"};

std::string field_of(const agent::Record& record, std::string_view name) {
  for (const auto& [field, value] : record.fields) {
    if (field == name) return value;
  }
  return {};
}

void count_record(const agent::Record& record, Tally& tally) {
  if (record.kind == "permit") tally.add("permit/" + field_of(record, "permit"));
  if (record.kind == "fence-confirmed") tally.add("fence/confirmed");
  if (record.kind == "fence-failed") tally.add("refusal/fence-failed/" + field_of(record, "result"));
  if (record.kind == "verdict") tally.add("verdict/" + field_of(record, "verdict"));
  if (std::ranges::count(kRefusals, record.kind) == 0) return;
  const std::size_t refused = record.text.find(" refused: ");
  const bool command = record.kind == "command-refused" && refused != std::string::npos;
  tally.add("refusal/" + record.kind + (command ? "/" + reason_of(record.text.substr(refused + 10)) : ""));
}

void count_run(Schedule& schedule, Tally& tally) {
  World& world = schedule.world();
  tally.add("runs");
  tally.add("simulated ms", static_cast<std::uint64_t>(ms_of(world.now() - Instant(world::seconds(1000)))));
  tally.add("leapt ms", static_cast<std::uint64_t>(ms_of(world.leapt())));
  for (std::size_t i = 0; i < schedule.acts_begun(); ++i) {
    const Act& act = schedule.plan().acts[i];
    tally.add(fmt::format("{}/{}", text_of(act.sort), act.kind));
  }
  for (const Told& told : world.told()) count_record(told.record, tally);
  const std::vector<std::uint64_t> rows = world.rows_taken();
  for (std::size_t i = 0; i < rows.size(); ++i) tally.add(fmt::format("row/{}", i), rows[i]);
}

// Tells each record as soon as it is there, so that a run that ends itself has told all up to then.
class Narrator final : public world::Checker {
 public:
  void after_event(World& world) override {
    for (; told_ < world.told().size(); ++told_) {
      const Told& told = world.told()[told_];
      fmt::print("{:>10.0f} {}: {}\n", ms_of(told.record.when - Instant(world::seconds(1000))), world.name(told.node),
                 told.record.text);
    }
    std::fflush(stdout);
  }

 private:
  std::size_t told_ = 0;
};

}  // namespace

std::string reason_of(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (std::isdigit(static_cast<unsigned char>(text[i])) != 0) {
      while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0) ++i;
      out += 'N';
    } else if (text.compare(i, 6, "pool-a") == 0 || text.compare(i, 6, "pool-b") == 0) {
      out += "POOL";
      i += 6;
    } else {
      out += text[i++];
    }
  }
  return out;
}

Violations run_counted(const world::Plan& plan, Tally& tally) {
  Schedule schedule(plan);
  schedule.run();
  count_run(schedule, tally);
  return schedule.world().violations();
}

Violations run_told(const world::Plan& plan) {
  Schedule schedule(plan);
  schedule.world().add_checker(std::make_unique<Narrator>());
  schedule.on_said([](const std::string& line) { fmt::print("{}\n", line); });
  schedule.run();
  for (const std::string& violation : schedule.world().violations()) fmt::print("violation: {}\n", violation);
  return schedule.world().violations();
}

}  // namespace hapair::sim
