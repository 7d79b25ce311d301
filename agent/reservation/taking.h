// How a node makes a disk its own, looks whether it still is, and gives it up. Each step is decided on what the disk
// said last, and success is only told on what it says at the end.
//
// Own means: registered under this node's key of this life, the reservation (write-exclusive, registrants only) held
// under it, and nobody else registered. Only keys of this pair are ever preempted.
#pragma once

#include <expected>
#include <string>

#include "agent/reservation/key.h"
#include "agent/reservation/reservable_disk.h"

namespace hapair::agent {

struct TakingStep {
  enum class Kind : std::uint8_t {
    done,
    reserve,
    preempt,  // `subject`: its registrations go; where it held the reservation, this node then does
    refused,  // `why`
  };
  Kind kind = Kind::done;
  ReservationKey subject;
  std::string why;
};
// For a node that is registered already.
TakingStep next_step(const std::string& disk, const DiskReservations& said, const Keyring& keys);

// Why this pair must not touch the disk; empty where it may.
std::string refusal(const std::string& disk, const DiskReservations& said, const Keyring& keys);

// What is worth telling although it succeeded (a path that does not answer); empty: nothing. The error is a sentence.
std::expected<std::string, std::string> take(ReservableDisk& disk, const Keyring& keys);

struct Standing {
  enum class State : std::uint8_t {
    held,      // own; `words` where something is amiss all the same
    not_held,  // not registered
    unclear,   // registered, and not the holder; or the disk cannot be asked
  };
  State state = State::unclear;
  std::string words;
};
Standing look(ReservableDisk& disk, const Keyring& keys);

struct GivenUp {
  bool was_held = false;  // until now
  std::string words;      // where the disk could not be told
};
// Never fails: what a disk that does not answer still holds under this node's key, the partner preempts.
GivenUp give_up(ReservableDisk& disk, const Keyring& keys);

}  // namespace hapair::agent
