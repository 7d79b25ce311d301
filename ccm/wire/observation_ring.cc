#include "ccm/wire/observation_ring.h"

#include <array>
#include <atomic>
#include <cstring>

namespace hapair::ccm {

std::string_view text_of(NetworkState state) {
  switch (state) {
    case NetworkState::silent:
      return "silent";
    case NetworkState::beats:
      return "beats";
    case NetworkState::one_way:
      return "one-way";
    case NetworkState::unsent:
      return "unsent";
  }
  return "unknown";
}

NetworkState state_of(const NetworkSelfLayout& network, Instant now) {
  const Duration bound =
      std::max<Duration>(10 * std::chrono::microseconds(network.pace_us), std::chrono::milliseconds(500));
  if (network.send_errno != 0) return NetworkState::unsent;
  if (network.heard_at_ns == 0 || now - instant_of_ns(network.heard_at_ns) > bound) return NetworkState::silent;
  return network.heard_at_ns - network.reached_at_ns > bound.count() ? NetworkState::one_way : NetworkState::beats;
}
namespace {

constexpr std::size_t kWords = sizeof(ObservationLayout) / sizeof(std::uint64_t);
static_assert(sizeof(ObservationLayout) % sizeof(std::uint64_t) == 0 && offsetof(ObservationLayout, serial) == 0);
using Words = std::array<std::uint64_t, kWords>;

std::uint64_t* words_of(ObservationLayout& slot) { return reinterpret_cast<std::uint64_t*>(&slot); }

}  // namespace

ObservationWriter::ObservationWriter(ObservationRing& ring) : ring_(&ring) { ring_->magic = kRingMagic; }

void ObservationWriter::write(ObservationLayout& observation) {
  observation.serial = ++serial_;
  std::uint64_t* slot = words_of(ring_->slots[serial_ % kObservationSlots]);
  std::atomic_ref<std::uint64_t> serial(slot[0]);
  serial.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  Words words;
  std::memcpy(words.data(), &observation, sizeof observation);
  for (std::size_t i = 1; i < kWords; ++i) {
    std::atomic_ref<std::uint64_t>(slot[i]).store(words[i], std::memory_order_relaxed);
  }
  serial.store(serial_, std::memory_order_release);
  std::atomic_ref<std::uint64_t>(ring_->written).store(serial_, std::memory_order_release);
}

void ObservationWriter::write_self(const CcmSelfLayout& self) {
  sequence_write(ring_->self_sequence, ring_->self, self);
}

ObservationReader::ObservationReader(ObservationRing& ring)
    : ring_(&ring), seen_(std::atomic_ref<std::uint64_t>(ring.written).load(std::memory_order_acquire)) {}

bool ObservationReader::next(ObservationLayout& into) {
  const std::uint64_t written = std::atomic_ref<std::uint64_t>(ring_->written).load(std::memory_order_acquire);
  while (seen_ < written) {
    // The slot after the newest may be in the middle of being written, so one less than all can be counted on.
    if (written - seen_ >= kObservationSlots) {
      const std::uint64_t oldest = written - kObservationSlots + 1;
      missed_ += oldest - seen_;
      seen_ = oldest;
    }
    const std::uint64_t wanted = ++seen_;
    std::uint64_t* slot = words_of(ring_->slots[wanted % kObservationSlots]);
    std::atomic_ref<std::uint64_t> serial(slot[0]);
    Words words;
    words[0] = serial.load(std::memory_order_acquire);
    for (std::size_t i = 1; i < kWords; ++i) {
      words[i] = std::atomic_ref<std::uint64_t>(slot[i]).load(std::memory_order_relaxed);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (words[0] == wanted && serial.load(std::memory_order_relaxed) == wanted) {
      std::memcpy(&into, words.data(), sizeof into);
      return true;
    }
    ++missed_;  // overwritten while it was copied
  }
  return false;
}

}  // namespace hapair::ccm
