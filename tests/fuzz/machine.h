// A handshake of node alpha whose partner does not hold the key: whatever it reads and finds in its mailbox, it comes
// to no session.
#pragma once

#include <utility>

#include "ccm/handshake/handshake.h"
#include "tests/fuzz/fuzz.h"

namespace hapair::fuzz {

class Zeros final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override { std::ranges::fill(bytes, std::byte{++count_}); }

 private:
  std::uint8_t count_ = 0;
};

class Machine {
 public:
  Machine() {
    (void)machine_.tick(now_, mailbox_);
    (void)machine_.connected(now_);
  }
  // The partner's page, as often as its answers lead anywhere.
  void read(std::span<const std::byte> page) {
    for (int i = 0; i < 4; ++i) turn(&page);
  }
  void find(std::span<const std::byte> mailbox) {
    std::ranges::copy(mailbox.first(std::min(mailbox.size(), mailbox_.size())), mailbox_.begin());
    for (int i = 0; i < 2; ++i) turn(nullptr);
  }
  void check() const { FUZZ_CHECK(!machine_.session() && machine_.state() != ccm::HandshakeState::connected); }

 private:
  void take(const ccm::HandshakeOutput& output) {
    reading_ = reading_ || output.read;
    writing_ = writing_ || output.write.has_value();
    connecting_ = connecting_ || output.connect;
    if (!output.drop) return;
    if (std::exchange(reading_, false)) take(machine_.page_failed(now_, ccm::FabricError::disconnected));
    if (std::exchange(writing_, false)) take(machine_.write_done(now_, ccm::FabricError::disconnected));
  }
  void turn(const std::span<const std::byte>* page) {
    now_ += std::chrono::milliseconds(10);
    take(machine_.tick(now_, mailbox_));
    if (std::exchange(connecting_, false)) take(machine_.connected(now_));
    if (page != nullptr && std::exchange(reading_, false)) take(machine_.page(now_, *page, still_));
    if (std::exchange(writing_, false)) take(machine_.write_done(now_, ccm::FabricError::none));
  }
  static ccm::HandshakeIdentity identity() {
    ccm::HandshakeIdentity one{
        *PairName::parse("pair-1"), *NodeName::parse("beta"), *NodeName::parse("alpha"), Incarnation(7), {}};
    one.boot_id.bytes[0] = 9;
    return one;
  }
  static ccm::Key key() {
    static constexpr std::string_view kSecret = "a key that whoever makes the bytes does not have";
    return ccm::Key::from_secret(std::as_bytes(std::span(kSecret)));
  }

  Zeros random_;
  Instant now_{std::chrono::seconds(100)};
  std::array<std::byte, ccm::kPageBytes> mailbox_{};
  ccm::StillDigest still_;
  bool reading_ = false;
  bool writing_ = false;
  bool connecting_ = false;
  ccm::Handshake machine_{identity(), {std::chrono::milliseconds(10), std::chrono::milliseconds(50)}, key(), random_};
};

}  // namespace hapair::fuzz
