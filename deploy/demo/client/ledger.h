// The client's own record of what was acknowledged to it, on its own disk. A write counts as acknowledged once its line
// is durable here; what the storage promised before that, nobody could hold it to.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::demo {

struct LedgerHead {
  std::uint64_t magic = 0;
  std::uint64_t run = 0;
  std::uint64_t slots = 0;
  std::uint32_t pool = 0;
  std::uint32_t zero = 0;
};
static_assert(sizeof(LedgerHead) == 32);

struct LedgerLine {
  std::uint64_t sequence = 0;
  std::uint64_t slot = 0;
  std::int64_t issued_ns = 0;  // CLOCK_BOOTTIME: when it was first sent, and when its acknowledgement was read
  std::int64_t acknowledged_ns = 0;
};
static_assert(sizeof(LedgerLine) == 32);

class Ledger {
 public:
  // A new file; one that is there is replaced.
  static std::expected<Ledger, std::string> create(const std::string& file, const LedgerHead& head);

  void add(const LedgerLine& line) { pending_.push_back(line); }
  [[nodiscard]] bool has_pending() const { return !pending_.empty(); }
  // Writes what was added and makes it durable; returns how many lines that were.
  std::expected<std::size_t, std::string> commit();

 private:
  explicit Ledger(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  std::vector<LedgerLine> pending_;
};

// What a ledger demands of the LUN: for each slot the newest acknowledged write; 0: none.
struct Demands {
  std::uint64_t run = 0;
  std::uint32_t pool = 0;
  std::uint64_t acknowledged = 0;     // lines in the ledger
  std::vector<std::uint64_t> newest;  // by slot
};
std::expected<Demands, std::string> read_ledger(const std::string& file);

}  // namespace hapair::demo
