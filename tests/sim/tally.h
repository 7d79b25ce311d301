// Counts by name, of one run or of many. A name has parts between slashes: "permit/fenced", "row/12".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hapair::sim {

class Tally {
 public:
  void add(const std::string& name, std::uint64_t count = 1) { counts_[name] += count; }
  void add(const Tally& other);
  [[nodiscard]] std::uint64_t of(const std::string& name) const;
  // All whose name begins so, without that beginning; the most frequent first.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> under(std::string_view beginning) const;
  // One count a line, for another process of this program.
  [[nodiscard]] std::string text() const;
  static Tally parse(const std::string& text);

 private:
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace hapair::sim
