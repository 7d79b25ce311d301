#include "tests/scenario/schedule.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace hapair::world {
namespace {

using agent::OperatorCommand;

// A long quiet is only simulated where it could be leapt over; it takes a little over a minute to be sure of that.
constexpr Duration kUntilSteady = seconds(65);
// Where what is steady at first is not any more, and every beat of hours would be simulated.
constexpr Duration kPieceOfQuiet = seconds(300);
// Nothing was told for so long: what waits then waits for an operator.
constexpr int kStillRounds = 6;

}  // namespace

std::string_view text_of(Act::Sort sort) {
  switch (sort) {
    case Act::Sort::fault:
      return "fault";
    case Act::Sort::repair:
      return "repair";
    case Act::Sort::command:
      return "command";
    case Act::Sort::quiet:
      return "quiet";
  }
  return "unknown";
}

void Schedule::say(const std::string& what) {
  const std::string line = fmt::format("{:>10.0f} > {}", ms_of(world_.now() - Instant(seconds(1000))), what);
  story_ += line + "\n";
  if (told_) told_(line);
}

void Schedule::advance(Duration time) {
  world_.advance_until([this] { return !world_.violations().empty(); }, time);
}

void Schedule::run() {
  for (const Act& act : plan_.acts) {
    if (!world_.violations().empty()) return;
    ++begun_;
    say(act.text);
    if (act.sort == Act::Sort::quiet) {
      stay_quiet(act.wait);
      continue;
    }
    act.run(world_);
    advance(act.wait);
  }
  if (world_.violations().empty()) heal_gently();
  if (world_.violations().empty()) heal();
}

// What an operator has forbidden there is over.
void Schedule::end_orders(NodeIndex node) {
  if (world_.engine(node) == nullptr) return;
  for (const agent::InhibitionReport& order : world_.engine(node)->inhibitions(world_.now())) {
    if (order.what == agent::Inhibited::partner_maintenance) continue;
    OperatorCommand command;
    command.kind = OperatorCommand::Kind::allow;
    command.what = order.what;
    command.by = "root";
    say(fmt::format("allow {} {}", world_.name(node), text_of(order.what)));
    world_.command(node, command);
  }
}

// Everything works again, nobody was switched off: what is not served then, an operator must have been told of.
void Schedule::heal_gently() {
  say("repair everything, start what does not run");
  world_.repair_everything();
  const auto told_why = [this] {
    return std::ranges::any_of(std::array{0UL, 1UL}, [this](NodeIndex n) {
      return world_.engine(n) != nullptr && !world_.engine(n)->node_reason().empty();
    });
  };
  std::size_t told = world_.told().size();
  int still = 0;
  for (int round = 0; round < 22; ++round) {  // a shutdown, or a dump of up to three minutes, may be under way
    for (const NodeIndex n : {0UL, 1UL}) {
      world_.boot(n);
      world_.start_ccm(n);
      world_.start_agent(n);
      end_orders(n);
    }
    if (world_.advance_until([this] { return world_.settled() || !world_.violations().empty(); }, seconds(10))) {
      return wait_for_ports();
    }
    const bool both_run = world_.engine(0) != nullptr && world_.engine(1) != nullptr;
    still = both_run && world_.told().size() == told ? still + 1 : 0;
    told = world_.told().size();
    if (still >= kStillRounds && told_why()) return;
  }
  if (told_why()) return;
  world_.violation("220 s after all is well not every pool is served once, and no operator is told why\n" +
                   world_.describe());
}

// Where there are any: whether they come in time is the checker's to say.
void Schedule::wait_for_ports() {
  if (plan_.options.rails == 0) return;
  const auto over = [this] { return (world_.ports_ready(0) && world_.ports_ready(1)) || !world_.violations().empty(); };
  world_.advance_until(over, seconds(12));
}

void Schedule::stay_quiet(Duration time) {
  heal_gently();
  if (time == Duration{}) return;
  const auto sure = [this] { return world_.steady() || !world_.violations().empty(); };
  if (!world_.advance_until(sure, kUntilSteady)) return;
  while (time > Duration{} && world_.violations().empty()) {
    const Duration piece = plan_.options.leap ? std::min(time, kPieceOfQuiet) : time;
    const Duration leapt = world_.leapt();
    advance(piece);
    time -= piece;
    if (piece == kPieceOfQuiet && world_.leapt() - leapt < piece / 4) return;
  }
}

void Schedule::heal() {
  say("repair everything, crash both, boot both");
  world_.repair_everything();
  for (const NodeIndex n : {0UL, 1UL}) world_.power_off(n);
  for (const NodeIndex n : {0UL, 1UL}) world_.boot(n);
  advance(seconds(4));
  for (const NodeIndex n : {0UL, 1UL}) {
    if (world_.engine(n) == nullptr || world_.engine(n)->node_state() != agent::NodeState::offline) continue;
    OperatorCommand command;
    command.kind = OperatorCommand::Kind::reset_record;
    command.by = "root";
    say("reset-state " + world_.name(n));
    world_.command(n, command);
  }
  for (const NodeIndex n : {0UL, 1UL}) end_orders(n);
  const auto over = [this] { return (world_.served_once(0) && world_.served_once(1)) || !world_.violations().empty(); };
  if (!world_.advance_until(over, seconds(30))) {
    world_.violation("30 s after everything was healed not every pool is served once\n" + world_.describe());
    return;
  }
  advance(seconds(2));
}

}  // namespace hapair::world
