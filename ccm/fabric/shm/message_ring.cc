#include "ccm/fabric/shm/message_ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

template <class Word>
std::atomic_ref<Word> shared(Word& word) {
  return std::atomic_ref<Word>(word);
}

}  // namespace

ExposerRing::ExposerRing(Mapping memory) : memory_(std::move(memory)) {
  HAPAIR_CHECK(memory_.bytes().size() == kRingBytes, "a ring has its size");
  shared(layout().head.magic).store(kMessageRingMagic, std::memory_order_release);
}

// Here the order is: revoked, then busy; at the poster busy, then revoked. One of the two sees the other.
bool ExposerRing::revoke() {
  shared(layout().exposer.revoked).store(1, std::memory_order_seq_cst);
  return shared(layout().poster.busy).load(std::memory_order_seq_cst) == 0;
}

ExposerRing::Look ExposerRing::look() {
  const std::uint64_t sent = shared(layout().poster.sent).load(std::memory_order_acquire);
  if (sent == taken_) return Look::nothing;
  // Beyond the places, or backwards, which in unsigned numbers is far beyond.
  if (sent - taken_ > kRingPlaces) return Look::broken;
  length_ = shared(layout().length[taken_ % kRingPlaces]).load(std::memory_order_relaxed);
  return length_ > PortFabric::kMaxMessage ? Look::broken : Look::message;
}

std::uint32_t ExposerRing::take(std::span<std::byte> into) {
  HAPAIR_CHECK(into.size() >= length_, "a receive buffer takes the longest message");
  std::memcpy(into.data(), layout().place[taken_ % kRingPlaces], length_);
  shared(layout().exposer.taken).store(++taken_, std::memory_order_release);
  return length_;
}

std::optional<PosterRing> PosterRing::attach(Mapping memory) {
  PosterRing ring(std::move(memory));
  if (ring.memory_.bytes().size() != kRingBytes ||
      shared(ring.layout().head.magic).load(std::memory_order_acquire) != kMessageRingMagic) {
    return std::nullopt;
  }
  return ring;
}

std::uint64_t PosterRing::put(std::span<const std::byte> message) {
  HAPAIR_CHECK(sent_ - taken_ < kRingPlaces && message.size() <= PortFabric::kMaxMessage, "one place a message");
  const std::size_t place = sent_ % kRingPlaces;
  if (!message.empty()) std::memcpy(layout().place[place], message.data(), message.size());
  shared(layout().length[place]).store(static_cast<std::uint32_t>(message.size()), std::memory_order_relaxed);
  shared(layout().poster.sent).store(++sent_, std::memory_order_release);
  return sent_;
}

std::optional<std::uint64_t> PosterRing::taken() {
  const std::uint64_t said = shared(layout().exposer.taken).load(std::memory_order_acquire);
  if (said - taken_ > sent_ - taken_) return std::nullopt;
  taken_ = said;
  return taken_;
}

bool PosterRing::begin_piece() {
  shared(layout().poster.busy).store(1, std::memory_order_seq_cst);
  if (shared(layout().exposer.revoked).load(std::memory_order_seq_cst) == 0) return true;
  end_piece();
  return false;
}

void PosterRing::end_piece() { shared(layout().poster.busy).store(0, std::memory_order_release); }

}  // namespace hapair::ccm
