// The memory that one connection of a port over shm has for itself: the messages on their way, and the word with which
// the exposing side takes its memory back. Made by the exposing side, anew for each connection, mapped by both.
//
//   offset  written by  what
//      0    exposer     magic u64 "HAPMSGR1"
//     64    exposer     taken u64: messages that reached a receive buffer; revoked u32 at 72
//    128    poster      sent u64: messages placed; busy u32 at 136: it is moving bytes of the exposed memory
//    256    poster      length u32 of each of the 64 places
//   4096    poster      the places, 4096 bytes each; message i is in place i % 64
//
// Neither side trusts a word of the other: each keeps its own count, and takes the other's only as far as it makes
// sense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kMessageRingMagic = 0x315247534d504148;  // "HAPMSGR1"
inline constexpr std::size_t kRingPlaces = PortFabric::kQueueDepth;

struct RingLayout {
  struct alignas(64) Head {
    std::uint64_t magic;
  } head;
  struct alignas(64) Exposer {
    std::uint64_t taken;
    std::uint32_t revoked;
  } exposer;
  struct alignas(64) Poster {
    std::uint64_t sent;
    std::uint32_t busy;
  } poster;
  std::uint32_t zero[16];
  std::uint32_t length[kRingPlaces];
  alignas(4096) std::byte place[kRingPlaces][PortFabric::kMaxMessage];
};
static_assert(offsetof(RingLayout, exposer) == 64 && offsetof(RingLayout, poster) == 128);
static_assert(offsetof(RingLayout, length) == 256 && offsetof(RingLayout, place) == 4096);
inline constexpr std::size_t kRingBytes = sizeof(RingLayout);
static_assert(kRingBytes == 4096 * (kRingPlaces + 1));

// The exposing side's half.
class ExposerRing {
 public:
  // `memory` is kRingBytes, zeroed.
  explicit ExposerRing(Mapping memory);

  // Tells the poster that the memory is no longer its. False: it is in the midst of a piece. A poster of this library
  // looks before each piece, so once it was seen idle after this, it touches the memory no more.
  bool revoke();

  enum class Look : std::uint8_t { nothing, message, broken };
  Look look();                                    // for a message that was not taken yet
  std::uint32_t take(std::span<std::byte> into);  // what look() found, at least kMaxMessage bytes; its length

 private:
  [[nodiscard]] RingLayout& layout() { return *reinterpret_cast<RingLayout*>(memory_.bytes().data()); }
  Mapping memory_;
  std::uint64_t taken_ = 0;
  std::uint32_t length_ = 0;  // of what was found
};

// The other side's half.
class PosterRing {
 public:
  // Nothing: it is no such ring.
  static std::optional<PosterRing> attach(Mapping memory);

  // The caller has at most kRingPlaces messages outstanding. Counted from 1.
  std::uint64_t put(std::span<const std::byte> message);
  // How many were taken; nothing where the other side says what cannot be.
  [[nodiscard]] std::optional<std::uint64_t> taken();

  // A piece of the exposed memory is moved between begin() and end(). False: it was taken back, there is no piece.
  bool begin_piece();
  void end_piece();

 private:
  explicit PosterRing(Mapping memory) : memory_(std::move(memory)) {}
  [[nodiscard]] RingLayout& layout() { return *reinterpret_cast<RingLayout*>(memory_.bytes().data()); }
  Mapping memory_;
  std::uint64_t sent_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace hapair::ccm
