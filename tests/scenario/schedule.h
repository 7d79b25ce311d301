// Random schedules of everything that can happen to two nodes: one seed gives the world's options and a plan, a list of
// acts that rests on nothing but the seed, so that a shorter list of the same acts can be tried too. The plan is
// carried out under all checkers; at the end everything is repaired, both nodes are switched off and on, and each pool
// must be served, once, within a bound. Between its acts a plan may let all be well again and hours pass.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/scenario/world.h"

namespace hapair::world {

struct Act {
  enum class Sort : std::uint8_t { fault, repair, command, quiet };
  Sort sort = Sort::fault;
  std::string kind;  // "crash", "fail-resource start"
  std::string text;  // "crash a"
  std::function<void(World&)> run{};
  Duration wait{};  // after it; of quiet: how long
};
std::string_view text_of(Act::Sort sort);

Act quiet_act(Duration length);

struct Plan {
  std::uint64_t seed = 0;
  WorldOptions options;
  std::vector<Act> acts;
};
Plan draw_plan(std::uint64_t seed);
// Its part for a share of the seeds: rails with the shipped handshake and session, and what happens to them.
void add_rails(Plan& plan, std::uint64_t seed);
// Likewise: Pacemaker decides.
void add_cluster(Plan& plan, std::uint64_t seed);
// The same, and where hours would pass it goes on as soon as all is well: many times as fast.
Plan without_quiet(Plan plan);
// What the seed drew besides the acts, in one line.
std::string describe(const WorldOptions& options);

class Schedule {
 public:
  explicit Schedule(Plan plan) : plan_(std::move(plan)), world_(plan_.options) {}

  // Told of each line of the story as it happens.
  void on_said(std::function<void(const std::string&)> told) { told_ = std::move(told); }
  // To its end, or to the first violation.
  void run();

  [[nodiscard]] const std::string& story() const { return story_; }
  World& world() { return world_; }
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] std::size_t acts_begun() const { return begun_; }

 private:
  void say(const std::string& what);
  // To the end of that time, or to the first violation.
  void advance(Duration time);
  void heal_gently();
  void stay_quiet(Duration time);
  void wait_for_ports();
  void heal();
  void end_orders(NodeIndex node);

  Plan plan_;
  World world_;
  std::string story_;
  std::function<void(const std::string&)> told_;
  std::size_t begun_ = 0;
};

}  // namespace hapair::world
