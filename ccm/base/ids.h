// Identities that must never be mixed up are types of their own, not integers or strings.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace hapair {

// A number whose meaning is its type. `Tag` is never defined; it only tells the types apart.
template <class Tag>
class Number {
 public:
  constexpr Number() = default;
  constexpr explicit Number(std::uint64_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr Number next() const { return Number(value_ + 1); }
  constexpr auto operator<=>(const Number&) const = default;

 private:
  std::uint64_t value_ = 0;
};

// The number of one life of a CCM: drawn at its start, never reused, never 0 (0 means "none seen yet").
using Incarnation = Number<struct IncarnationTag>;
// The fencing token of a pool's ownership: durable before it is used, only rises; 0 means "never owned".
using Epoch = Number<struct EpochTag>;
// An interconnect device and path between the two nodes, numbered from 0 in the order of the configuration.
using RailId = Number<struct RailIdTag>;
// An IP network that beats go over, likewise.
using NetworkId = Number<struct NetworkIdTag>;
// Matches a completion to the operation that was posted.
using OperationId = Number<struct OperationIdTag>;

// The number of one life of a node's kernel (`/proc/sys/kernel/random/boot_id`). All zero means "not known".
struct BootId {
  std::array<std::uint8_t, 16> bytes{};

  [[nodiscard]] bool known() const { return bytes != std::array<std::uint8_t, 16>{}; }
  // 8-4-4-4-12 hexadecimal digits, as the kernel prints it.
  [[nodiscard]] std::string text() const;
  // Reads the kernel's form; surrounding white space is allowed. Nothing else is.
  static std::optional<BootId> parse(std::string_view text);

  auto operator<=>(const BootId&) const = default;
};

// A name of at most 31 bytes: letters, digits, '-', '_' and '.', beginning with a letter or digit. It fits every
// fixed-width field of the wire and the disk. `Tag` tells node, pair and pool names apart.
template <class Tag>
class Name {
 public:
  static constexpr std::size_t kMaxBytes = 31;

  Name() = default;
  static std::optional<Name> parse(std::string_view text) {
    if (text.empty() || text.size() > kMaxBytes) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!alnum && (i == 0 || (c != '-' && c != '_' && c != '.'))) return std::nullopt;
    }
    Name name;
    std::memcpy(name.bytes_.data(), text.data(), text.size());
    name.size_ = static_cast<std::uint8_t>(text.size());
    return name;
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), size_}; }
  [[nodiscard]] std::string text() const { return std::string(view()); }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  bool operator==(const Name& other) const { return view() == other.view(); }
  auto operator<=>(const Name& other) const { return view() <=> other.view(); }

 private:
  std::array<char, kMaxBytes + 1> bytes_{};
  std::uint8_t size_ = 0;
};

using NodeName = Name<struct NodeNameTag>;
using PairName = Name<struct PairNameTag>;
using RailName = Name<struct RailNameTag>;
using NetworkName = Name<struct NetworkNameTag>;
using PoolName = Name<struct PoolNameTag>;

}  // namespace hapair
