#include "agent/reservation/orders.h"

#include <algorithm>
#include <future>

#include "agent/reservation/taking.h"

namespace hapair::agent {
namespace {

// A disk that does not answer keeps only its own thread waiting.
template <class Ask>
auto on_each(Disks& disks, const Ask& ask) {
  using Result = decltype(ask(*disks.front()));
  std::vector<std::future<Result>> under_way;
  under_way.reserve(disks.size());
  for (const auto& disk : disks)
    under_way.push_back(std::async(std::launch::async, [&ask, &disk] { return ask(*disk); }));
  std::vector<Result> results;
  results.reserve(disks.size());
  for (auto& one : under_way) results.push_back(one.get());
  return results;
}

void append(std::string& text, const std::string& sentence) {
  if (sentence.empty()) return;
  text += (text.empty() ? "" : "; ") + sentence;
}

// Why one of the disks must not be touched, or cannot be asked; empty where all may.
std::string refusals(Disks& disks, const Keyring& keys) {
  std::string why;
  for (const std::string& one : on_each(disks, [&keys](ReservableDisk& disk) {
         const auto said = disk.read();
         return said ? refusal(disk.name(), *said, keys) : said.error().text;
       })) {
    append(why, one);
  }
  return why;
}

ReserveAnswer take_all(Disks& disks, const Keyring& keys) {
  std::string notes;
  std::string why;
  for (const auto& taken : on_each(disks, [&keys](ReservableDisk& disk) { return take(disk, keys); })) {
    append(taken ? notes : why, taken ? *taken : taken.error());
  }
  if (why.empty()) return {kReserveDone, notes};
  return {kReserveFailed, why};
}

// Empty where all that this node has taken is still its own.
std::string lost_of(Disks& held, const Keyring& keys) {
  std::string lost;
  for (const Standing& standing : on_each(held, [&keys](ReservableDisk& disk) { return look(disk, keys); })) {
    if (standing.state != Standing::State::held) append(lost, standing.words);
  }
  return lost;
}

}  // namespace

ReserveAnswer start_reservation(Disks& disks, const Keyring& keys) {
  if (const std::string why = refusals(disks, keys); !why.empty()) return {kReserveFailed, why};
  return take_all(disks, keys);
}

StopAnswer stop_reservation(Disks& disks, const Keyring& keys) {
  StopAnswer stopped{{kReserveDone, ""}, true};
  for (const GivenUp& given : on_each(disks, [&keys](ReservableDisk& disk) { return give_up(disk, keys); })) {
    stopped.all_were_held = stopped.all_were_held && given.was_held;
    append(stopped.answer.words, given.words);
  }
  return stopped;
}

ReserveAnswer monitor_reservation(Disks& disks, const Keyring& keys) {
  std::string words;
  std::string lost;
  std::size_t held = 0;
  std::size_t not_held = 0;
  for (const Standing& standing : on_each(disks, [&keys](ReservableDisk& disk) { return look(disk, keys); })) {
    append(standing.state == Standing::State::held ? words : lost, standing.words);
    if (standing.state == Standing::State::held) ++held;
    if (standing.state == Standing::State::not_held) ++not_held;
  }
  if (held == disks.size()) return {words.empty() ? kReserveDone : kReserveDegraded, words};
  return {not_held == disks.size() ? kReserveNotHeld : kReserveFailed, lost};
}

ReserveAnswer check_reservation(Disks& disks, const Keyring& keys) {
  const std::string why = refusals(disks, keys);
  return {why.empty() ? kReserveDone : kReserveFailed, why};
}

ReserveAnswer fence_by_reservation(Disks& held, Disks& others, const Keyring& keys) {
  const std::string partner = keys.names().partner.text();
  if (const std::string lost = lost_of(held, keys); !lost.empty()) {
    return {kReserveFailed, "this node was itself preempted, and must not preempt " + partner + ": " + lost};
  }
  if (others.empty()) {
    return {kReserveFailed, "every disk is this node's own already: this says nothing about " + partner};
  }
  if (const std::string why = refusals(others, keys); !why.empty()) return {kReserveFailed, why};
  ReserveAnswer taken = take_all(others, keys);
  if (taken.code != kReserveDone) return {kReserveUnclear, taken.words};
  if (const std::string lost = lost_of(held, keys); !lost.empty()) {
    return {kReserveUnclear, partner + " preempted this node at the same moment: " + lost +
                                 ". Give the two nodes' devices different delay_ms"};
  }
  return taken;
}

ReserveAnswer status_of_fence(Disks& held, Disks& others, const Keyring& keys) {
  if (const std::string lost = lost_of(held, keys); !lost.empty() || others.empty()) return {kReserveDone, lost};
  std::string words;
  const auto looks = on_each(others, [&keys](ReservableDisk& disk) -> std::string {
    const auto said = disk.read();
    if (!said) return said.error().text;
    const TakingStep step = next_step(disk.name(), *said, keys);
    if (step.kind == TakingStep::Kind::done) return "";
    return step.why.empty() ? disk.name() + ": is not this node's alone" : step.why;
  });
  for (const std::string& one : looks) append(words, one);
  return {words.empty() ? kFenceStatusOff : kReserveDone, words};
}

}  // namespace hapair::agent
