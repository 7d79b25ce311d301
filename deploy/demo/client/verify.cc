#include "deploy/demo/client/verify.h"

#include <poll.h>

#include <algorithm>
#include <memory>

#include "deploy/demo/client/block.h"

namespace hapair::demo {
namespace {

constexpr std::uint64_t kSlotsARead = 64;
constexpr std::size_t kLostKept = 20;

// One login's worth of reading: goes on at `next` until everything is read or the session fails.
class Reading {
 public:
  Reading(const Demands& demands, Verification& into)
      : demands_(demands), into_(into), buffer_(kSlotsARead * kBlockBytes) {
    // Slots after the last one written demand nothing.
    const auto last = std::find_if(demands.newest.rbegin(), demands.newest.rend(), [](auto s) { return s != 0; });
    end_ = static_cast<std::uint64_t>(std::distance(last, demands.newest.rend()));
  }

  [[nodiscard]] bool finished() const { return next_ >= end_; }

  // The reason why the session ended, empty where everything was read.
  std::string go_on(const Target& target, const SystemClock& clock) {
    under_way_ = false;
    Session session(target, clock.now(), [this](Instant, std::uint64_t, bool ok) {
      under_way_ = false;
      if (ok) check();
    });
    while (!finished()) {
      pollfd fd{session.fd(), session.events(), 0};
      ::poll(&fd, 1, 10);
      session.service(clock.now(), fd.revents);
      if (session.state() == Session::State::failed) return session.reason();
      if (session.state() != Session::State::ready || under_way_ || finished()) continue;
      if (session.capacity_bytes() < end_ * kBlockBytes) return "the LUN is smaller than what was written";
      under_way_ = true;
      count_ = std::min(kSlotsARead, end_ - next_);
      session.read(clock.now(), 0, next_ * kBlockBytes, std::span(buffer_).first(count_ * kBlockBytes));
    }
    return {};
  }

 private:
  void check() {
    for (std::uint64_t i = 0; i < count_; ++i) {
      const std::uint64_t slot = next_ + i;
      if (demands_.newest[slot] == 0) continue;
      ++into_.slots_checked;
      std::string fault = fault_of(demands_, slot, std::span(buffer_).subspan(i * kBlockBytes, kBlockBytes));
      if (fault.empty()) continue;
      ++into_.lost_count;
      if (into_.lost.size() < kLostKept) into_.lost.push_back({slot, demands_.newest[slot], std::move(fault)});
    }
    next_ += count_;
  }

  const Demands& demands_;
  Verification& into_;
  std::vector<std::byte> buffer_;
  std::uint64_t next_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t count_ = 0;
  bool under_way_ = false;
};

}  // namespace

std::string fault_of(const Demands& demands, std::uint64_t slot, std::span<const std::byte> block) {
  const auto name = read_block(block);
  if (!name) return std::string(text_of(name.error()));
  if (name->run != demands.run) return "write " + std::to_string(name->sequence) + " of another run";
  if (name->pool != demands.pool) return "a block of another pool";
  if (name->slot != slot) return "the block of slot " + std::to_string(name->slot);
  if (name->sequence < demands.newest[slot]) return "the older write " + std::to_string(name->sequence);
  return {};
}

std::expected<Verification, std::string> verify(const Target& target, const Demands& demands, Duration patience) {
  const SystemClock clock;
  const Instant until = clock.now() + patience;
  Verification result;
  Reading reading(demands, result);
  while (true) {
    const std::string reason = reading.go_on(target, clock);
    if (reading.finished()) return result;
    if (clock.now() >= until) {
      return std::unexpected("the LUN could not be read back: " + reason);
    }
    ::poll(nullptr, 0, static_cast<int>(ms_of(kRedialAfter)));
  }
}

}  // namespace hapair::demo
