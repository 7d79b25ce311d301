#include "agent/reservation/taking.h"

#include <algorithm>
#include <optional>

namespace hapair::agent {
namespace {

// A registration of the partner's may come between a look and what follows from it, not again and again.
constexpr int kRounds = 8;

void append(std::string& text, const std::string& sentence) {
  if (sentence.empty()) return;
  text += (text.empty() ? "" : "; ") + sentence;
}

bool held_by(const DiskReservations& said, ReservationKey key) {
  return said.reservation && said.reservation->holder == key &&
         said.reservation->type == kWriteExclusiveRegistrantsOnly;
}

struct Registered {
  std::optional<std::size_t> path;  // the first on which it succeeded
  std::string missing;              // why not on the others
};

Registered register_paths(ReservableDisk& disk, const Keyring& keys) {
  Registered registered;
  for (std::size_t path = 0; path < disk.paths(); ++path) {
    const auto sent = disk.send(path, {ReserveOutAction::register_key, {}, keys.own()});
    if (!sent) {
      append(registered.missing, sent.error().text);
    } else if (!registered.path) {
      registered.path = path;
    }
  }
  return registered;
}

std::string holder_words(const DiskReservations& said, const Keyring& keys) {
  return said.reservation ? "reserved under " + keys.title_of(said.reservation->holder) : "not reserved at all";
}

}  // namespace

std::string refusal(const std::string& disk, const DiskReservations& said, const Keyring& keys) {
  const auto foreign = [&keys](ReservationKey key) { return keys.owner_of(key) == KeyOwner::foreign; };
  std::string found;
  if (const auto key = std::ranges::find_if(said.keys, foreign); key != said.keys.end()) {
    found = "is registered under " + keys.title_of(*key);
  } else if (said.reservation && said.reservation->type != kWriteExclusiveRegistrantsOnly) {
    found = "has a reservation of type " + std::to_string(said.reservation->type) + ", which hapair never makes";
  } else if (said.reservation && foreign(said.reservation->holder)) {
    found = "is reserved under " + keys.title_of(said.reservation->holder);
  }
  if (found.empty()) return "";
  return disk + ": " + found +
         ": nothing was changed. Find out who uses this disk; where nobody does: sg_persist --out " +
         "--register-ignore --param-sark=1 " + disk + "; sg_persist --out --clear --param-rk=1 " + disk;
}

TakingStep next_step(const std::string& disk, const DiskReservations& said, const Keyring& keys) {
  using Kind = TakingStep::Kind;
  if (std::string why = refusal(disk, said, keys); !why.empty()) return {Kind::refused, {}, std::move(why)};
  if (said.count(keys.own()) == 0) {
    return {Kind::refused,
            {},
            disk + ": this node was preempted while it took the disk; it is " + holder_words(said, keys)};
  }
  if (!said.reservation) return {Kind::reserve, {}, {}};
  if (said.reservation->holder != keys.own()) return {Kind::preempt, said.reservation->holder, {}};
  const auto other = std::ranges::find_if(said.keys, [&keys](ReservationKey key) { return key != keys.own(); });
  if (other != said.keys.end()) return {Kind::preempt, *other, {}};
  return {Kind::done, {}, {}};
}

std::expected<std::string, std::string> take(ReservableDisk& disk, const Keyring& keys) {
  const auto before = disk.read();
  if (!before) return std::unexpected(before.error().text);
  if (std::string why = refusal(disk.name(), *before, keys); !why.empty()) return std::unexpected(std::move(why));
  const Registered registered = register_paths(disk, keys);
  if (!registered.path) return std::unexpected(disk.name() + ": no path takes a registration: " + registered.missing);
  std::string last;
  for (int round = 0; round < kRounds; ++round) {
    const auto said = disk.read();
    if (!said) return std::unexpected(said.error().text);
    const TakingStep step = next_step(disk.name(), *said, keys);
    ReserveOut command{ReserveOutAction::reserve, keys.own(), {}};
    switch (step.kind) {
      case TakingStep::Kind::done:
        return registered.missing.empty() ? std::string()
                                          : disk.name() + ": taken, but not over every path: " + registered.missing +
                                                "; what is written over that path is refused, also when it is back";
      case TakingStep::Kind::refused:
        return std::unexpected(step.why);
      case TakingStep::Kind::reserve:
        break;
      case TakingStep::Kind::preempt:
        command = {ReserveOutAction::preempt_and_abort, keys.own(), step.subject};
        break;
    }
    const auto sent = disk.send(*registered.path, command);
    if (!sent && sent.error().kind != DiskProblem::Kind::conflict) return std::unexpected(sent.error().text);
    if (!sent) last = sent.error().text;
  }
  return std::unexpected(disk.name() + ": changes as fast as it is looked at; another node takes it too" +
                         (last.empty() ? "" : ". Last: " + last));
}

Standing look(ReservableDisk& disk, const Keyring& keys) {
  using State = Standing::State;
  const auto said = disk.read();
  if (!said) {
    const bool absent = said.error().kind == DiskProblem::Kind::absent;
    return {absent ? State::not_held : State::unclear, said.error().text};
  }
  const std::size_t registered = said->count(keys.own());
  if (registered == 0) {
    return {State::not_held, disk.name() + ": this node is not registered; the disk is " + holder_words(*said, keys)};
  }
  if (!held_by(*said, keys.own())) {
    return {State::unclear, disk.name() + ": this node is registered, but the disk is " + holder_words(*said, keys)};
  }
  Standing standing{State::held, ""};
  const auto other = std::ranges::find_if(said->keys, [&keys](ReservationKey key) { return key != keys.own(); });
  if (other != said->keys.end()) {
    append(standing.words, disk.name() + ": " + keys.title_of(*other) + " is registered too, and may write");
  }
  if (registered < disk.paths()) {
    append(standing.words, disk.name() + ": registered over " + std::to_string(registered) + " of " +
                               std::to_string(disk.paths()) +
                               " paths; what is written over the others is refused. Move the pool away and back");
  }
  return standing;
}

GivenUp give_up(ReservableDisk& disk, const Keyring& keys) {
  GivenUp given;
  const auto before = disk.read();
  given.was_held = before && before->count(keys.own()) != 0 && held_by(*before, keys.own());
  if (before && before->count(keys.own()) == 0) return given;
  for (std::size_t path = 0; path < disk.paths(); ++path) {
    const auto tell = [&](const ReserveOut& command) {
      const auto sent = disk.send(path, command);
      // A conflict: not registered over this path, so there is nothing to give up.
      if (!sent && sent.error().kind != DiskProblem::Kind::conflict) append(given.words, sent.error().text);
      return sent || sent.error().kind == DiskProblem::Kind::conflict;
    };
    if (tell({ReserveOutAction::release, keys.own(), {}})) tell({ReserveOutAction::change_key, keys.own(), {}});
  }
  const auto after = disk.read();
  if (!after || after->count(keys.own()) != 0) {
    append(given.words, disk.name() + ": may still be registered under this node's key, which the partner preempts");
  }
  return given;
}

}  // namespace hapair::agent
