#include "agent/reservation/persistent_reserve.h"

#include <algorithm>
#include <cstdio>

namespace hapair::agent {
namespace {

constexpr std::uint8_t kPersistentReserveIn = 0x5e;
constexpr std::uint8_t kPersistentReserveOut = 0x5f;
constexpr std::size_t kHeaderBytes = 8;  // generation, then how many bytes follow
constexpr std::size_t kKeyBytes = 8;
constexpr std::size_t kReservationBytes = 16;
constexpr std::uint8_t kIllegalRequest = 5;
constexpr std::uint8_t kDataProtect = 7;

std::uint64_t number_at(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t width) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes.subspan(at, width)) number = (number << 8) | byte;
  return number;
}

template <std::size_t N>
void put_number(std::array<std::uint8_t, N>& bytes, std::size_t at, std::size_t width, std::uint64_t number) {
  for (std::size_t i = 0; i < width; ++i) {
    bytes.at(at + width - 1 - i) = static_cast<std::uint8_t>(number >> (8 * i));
  }
}

std::unexpected<std::string> garbage(const std::string& what) {
  return std::unexpected("answers what no disk should (" + what + ")");
}

// What follows the header, as long as the header says.
std::expected<std::span<const std::uint8_t>, std::string> body_of(std::span<const std::uint8_t> answer) {
  if (answer.size() < kHeaderBytes) return garbage(std::to_string(answer.size()) + " bytes, less than a header");
  const std::uint64_t follow = number_at(answer, 4, 4);
  if (follow > answer.size() - kHeaderBytes) {
    return garbage(std::to_string(follow) + " bytes announced, " + std::to_string(answer.size() - kHeaderBytes) +
                   " given");
  }
  return answer.subspan(kHeaderBytes, follow);
}

}  // namespace

std::size_t DiskReservations::count(ReservationKey key) const {
  return static_cast<std::size_t>(std::ranges::count(keys, key));
}

CommandBlock command_block(ReserveInAction action, std::uint16_t allocation_bytes) {
  CommandBlock block{kPersistentReserveIn, static_cast<std::uint8_t>(action)};
  put_number(block, 7, 2, allocation_bytes);
  return block;
}

CommandBlock command_block(const ReserveOut& command) {
  CommandBlock block{kPersistentReserveOut, static_cast<std::uint8_t>(command.action)};
  // The scope, in the upper half of this byte, is 0: the whole unit.
  block[2] = kWriteExclusiveRegistrantsOnly;
  put_number(block, 5, 4, std::tuple_size_v<ReserveOutParameters>);
  return block;
}

ReserveOutParameters parameters_of(const ReserveOut& command, bool through_power_loss) {
  ReserveOutParameters parameters{};
  put_number(parameters, 0, 8, command.key.value());
  put_number(parameters, 8, 8, command.subject.value());
  const bool registers =
      command.action == ReserveOutAction::change_key || command.action == ReserveOutAction::register_key;
  if (registers && through_power_loss) parameters[20] = 1;
  return parameters;
}

std::expected<std::vector<ReservationKey>, std::string> parse_keys(std::span<const std::uint8_t> answer) {
  const auto body = body_of(answer);
  if (!body) return std::unexpected(body.error());
  if (body->size() % kKeyBytes != 0) return garbage(std::to_string(body->size()) + " bytes of keys of 8 bytes each");
  std::vector<ReservationKey> keys;
  for (std::size_t at = 0; at < body->size(); at += kKeyBytes) {
    keys.emplace_back(number_at(*body, at, kKeyBytes));
    if (keys.back() == ReservationKey{}) return garbage("a registration under key 0");
  }
  return keys;
}

std::expected<std::optional<Reservation>, std::string> parse_reservation(std::span<const std::uint8_t> answer) {
  const auto body = body_of(answer);
  if (!body) return std::unexpected(body.error());
  if (body->empty()) return std::nullopt;
  if (body->size() < kReservationBytes) return garbage(std::to_string(body->size()) + " bytes of a reservation");
  const std::uint8_t scope_and_type = (*body)[13];
  if ((scope_and_type >> 4) != 0) return garbage("a reservation of less than the whole disk");
  return Reservation{ReservationKey(number_at(*body, 0, kKeyBytes)), static_cast<std::uint8_t>(scope_and_type & 0x0f)};
}

std::expected<ReserveCapabilities, std::string> parse_capabilities(std::span<const std::uint8_t> answer) {
  if (answer.size() < 6 || number_at(answer, 0, 2) < 6) return garbage("too few bytes of capabilities");
  const bool mask_is_valid = (answer[3] & 0x80) != 0;
  return ReserveCapabilities{.through_power_loss = (answer[2] & 0x01) != 0,
                             .registrants_only = !mask_is_valid || (answer[4] & 0x20) != 0};
}

std::optional<Sense> parse_sense(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return std::nullopt;
  const unsigned form = bytes[0] & 0x7fU;
  if (form == 0x72 || form == 0x73) {
    if (bytes.size() < 4) return std::nullopt;
    return Sense{static_cast<std::uint8_t>(bytes[1] & 0x0f), bytes[2], bytes[3]};
  }
  if ((form != 0x70 && form != 0x71) || bytes.size() < 3) return std::nullopt;
  Sense sense{.key = static_cast<std::uint8_t>(bytes[2] & 0x0f)};
  if (bytes.size() > 13) {
    sense.code = bytes[12];
    sense.qualifier = bytes[13];
  }
  return sense;
}

std::string meaning_of(const Sense& sense) {
  std::array<char, 24> numbers{};
  std::snprintf(numbers.data(), numbers.size(), "%x/%02x/%02x", sense.key, sense.code, sense.qualifier);
  std::string text = "refuses it";
  if (sense.key == kIllegalRequest && sense.code == 0x20) {
    text = "has no persistent reservations; it cannot be a disk of reservations";
  } else if (sense.key == kIllegalRequest && sense.code == 0x55 && sense.qualifier == 0x04) {
    text = "has no room for another registration";
  } else if (sense.key == kIllegalRequest) {
    text = "does not know this part of persistent reservations";
  } else if (sense.key == kDataProtect) {
    text = "is write-protected";
  } else if (sense.key == kSenseNotReady) {
    text = "is not ready";
  }
  return text + " (sense " + numbers.data() + ")";
}

}  // namespace hapair::agent
