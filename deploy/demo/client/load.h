// The load: numbered writes at a steady pace, sent again over a new session until they are acknowledged, and how long
// the storage was away in between.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ccm/base/time.h"
#include "deploy/demo/client/block.h"
#include "deploy/demo/client/ledger.h"
#include "deploy/demo/client/session.h"

namespace hapair::demo {

struct LoadPlan {
  std::string pool;
  Target target;
  std::string ledger_file;
  std::uint64_t slots = 0;
  unsigned depth = 4;  // writes under way at once
  unsigned writes_per_second = 400;
  bool durable = true;  // with FUA; without it an acknowledgement promises nothing, which is what a test shows
  Duration outage_from = std::chrono::milliseconds(100);  // a longer gap between two acknowledgements is an outage
};

// Between the last acknowledgement before and the first one after.
struct Outage {
  Instant from;
  Instant to;
};

struct LoadResult {
  std::uint64_t run = 0;
  std::uint64_t issued = 0;        // writes sent at least once
  std::uint64_t acknowledged = 0;  // durable in the ledger
  std::uint64_t dials = 0;
  std::uint64_t sessions = 0;
  std::vector<Outage> outages;
  std::vector<std::uint32_t> latencies_us;  // of acknowledged writes, in order
};

class Load {
 public:
  // Lines for whoever watches: one JSON object each.
  using Say = std::function<void(const std::string& line)>;

  Load(LoadPlan plan, std::uint64_t run, Ledger ledger, Say say);
  // Writes until `stop` turns true and everything sent is acknowledged, at most `drain` after that. The error is a
  // sentence about this client's own disk, never about the storage.
  std::expected<void, std::string> run(const std::function<bool()>& stop, Duration drain);
  [[nodiscard]] const LoadResult& result() const { return result_; }

 private:
  struct Write {
    std::uint64_t sequence = 0;
    Instant issued;
    bool sent = false;  // over the current session
    std::array<std::byte, kBlockBytes> block{};
  };

  void dial(Instant now);
  void lose_session(Instant now);
  void issue(Instant now, bool stopping);
  void send_unsent(Instant now);
  void on_done(Instant now, std::uint64_t sequence, bool ok);
  void progress(Instant now);
  [[nodiscard]] int wait_ms(Instant now) const;

  LoadPlan plan_;
  SystemClock clock_;
  Ledger ledger_;
  Say say_;
  LoadResult result_;
  std::unique_ptr<Session> session_;
  bool was_ready_ = false;
  Instant redial_at_;
  Instant next_write_;
  Instant next_progress_;
  Instant last_acknowledged_;
  std::string last_reason_;
  std::deque<std::unique_ptr<Write>> under_way_;  // in order of sequence
};

}  // namespace hapair::demo
