// What the partner's page tells of the clients of its CCM besides the agent, which PartnerWatch judges: whether each
// one's own beat moves, and whether the work moves that it has told of. That is what shows a node whose storage stands
// still while everything else beats (gray failure: Huang et al., HotOS 2017).
//
// Damping: work that has stood for its limit counts as moving again when it has moved for that long, never standing for
// half of it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/wire/status_page.h"
#include "heartbeat/detector.h"

namespace hapair::heartbeat {

struct WatchedClient {
  std::string name;
  std::uint64_t life = 0;
  std::uint64_t beat = 0;
  std::optional<Detector> beats;  // of one that beats
  std::uint64_t completed = 0;
  std::uint32_t outstanding = 0;
  std::optional<Detector> work;  // of one that tells progress
  bool stalled = false;
  Instant stood_last;  // for half its limit

  [[nodiscard]] bool hung() const { return beats && beats->silent(); }
};

class ClientWatch {
 public:
  // `beat_floor`: of the limit for a client's beat, which is three of its own paces at the least. `look`: how often the
  // page is read.
  ClientWatch(Duration beat_floor, Duration look) : beat_floor_(beat_floor), look_(look) {}

  // `clients` of a page that is proved to be the partner's.
  void look(Instant now, std::span<const ccm::ClientView> clients);
  void reset() { watched_.clear(); }

  [[nodiscard]] std::span<const WatchedClient> clients() const { return watched_; }
  // The first whose work stands still; nothing where none does.
  [[nodiscard]] const WatchedClient* stalled() const;
  // A client whose beat stands, by name: the one that was told last as long as it is one of them. Empty: none.
  [[nodiscard]] std::string hung(const std::string& told) const;

 private:
  [[nodiscard]] WatchedClient begin(const ccm::ClientView& seen) const;
  void look_at_work(Instant now, WatchedClient& watched, const ccm::ClientView& seen) const;

  Duration beat_floor_;
  Duration look_;
  std::vector<WatchedClient> watched_;
};

}  // namespace hapair::heartbeat
