// The bytes of PERSISTENT RESERVE IN and OUT (SPC-4, 6.15 and 6.16). What a disk answers is not trusted: its lengths
// are checked against what came.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/reservation/key.h"

namespace hapair::agent {

// Who is not registered may read and not write.
inline constexpr std::uint8_t kWriteExclusiveRegistrantsOnly = 5;

struct Reservation {
  ReservationKey holder;
  std::uint8_t type = 0;
  bool operator==(const Reservation&) const = default;
};

// What a disk knows of reservations.
struct DiskReservations {
  std::vector<ReservationKey> keys;  // one for each path that is registered, of whichever node
  std::optional<Reservation> reservation;

  [[nodiscard]] std::size_t count(ReservationKey key) const;
};

enum class ReserveInAction : std::uint8_t { read_keys = 0, read_reservation = 1, report_capabilities = 2 };
enum class ReserveOutAction : std::uint8_t {
  change_key = 0,  // of who is registered under `key`; to 0: it is registered no more
  reserve = 1,
  release = 2,
  preempt_and_abort = 5,
  register_key = 6,  // whatever this path was registered under before
};

struct ReserveOut {
  ReserveOutAction action = ReserveOutAction::reserve;
  ReservationKey key;      // whose the sender is registered under
  ReservationKey subject;  // the new key, or the one that is preempted
};

using CommandBlock = std::array<std::uint8_t, 10>;
using ReserveOutParameters = std::array<std::uint8_t, 24>;
CommandBlock command_block(ReserveInAction action, std::uint16_t allocation_bytes);
CommandBlock command_block(const ReserveOut& command);
// `through_power_loss`: registrations outlive a loss of the disk's power.
ReserveOutParameters parameters_of(const ReserveOut& command, bool through_power_loss);

// The errors are sentences without the disk's name.
std::expected<std::vector<ReservationKey>, std::string> parse_keys(std::span<const std::uint8_t> answer);
std::expected<std::optional<Reservation>, std::string> parse_reservation(std::span<const std::uint8_t> answer);

struct ReserveCapabilities {
  bool through_power_loss = false;
  bool registrants_only = true;  // write-exclusive, registrants only; false only where the disk says that it has it not
};
std::expected<ReserveCapabilities, std::string> parse_capabilities(std::span<const std::uint8_t> answer);

// The three numbers that a disk explains itself with.
struct Sense {
  std::uint8_t key = 0;
  std::uint8_t code = 0;
  std::uint8_t qualifier = 0;
};
std::optional<Sense> parse_sense(std::span<const std::uint8_t> bytes);
// What it means for an operator: "has no persistent reservations (sense 5/20/00)".
std::string meaning_of(const Sense& sense);

inline constexpr std::uint8_t kSenseUnitAttention = 6;
inline constexpr std::uint8_t kSenseAbortedCommand = 11;
inline constexpr std::uint8_t kSenseNotReady = 2;

}  // namespace hapair::agent
