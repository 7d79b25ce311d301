#include "tests/sim/tally.h"

#include <algorithm>
#include <sstream>

namespace hapair::sim {

void Tally::add(const Tally& other) {
  for (const auto& [name, count] : other.counts_) counts_[name] += count;
}

std::uint64_t Tally::of(const std::string& name) const {
  const auto it = counts_.find(name);
  return it == counts_.end() ? 0 : it->second;
}

std::vector<std::pair<std::string, std::uint64_t>> Tally::under(std::string_view beginning) const {
  std::vector<std::pair<std::string, std::uint64_t>> found;
  for (const auto& [name, count] : counts_) {
    if (name.starts_with(beginning)) found.emplace_back(name.substr(beginning.size()), count);
  }
  std::ranges::sort(found, [](const auto& one, const auto& other) {
    return one.second != other.second ? one.second > other.second : one.first < other.first;
  });
  return found;
}

std::string Tally::text() const {
  std::string out;
  for (const auto& [name, count] : counts_) out += std::to_string(count) + " " + name + "\n";
  return out;
}

Tally Tally::parse(const std::string& text) {
  Tally tally;
  std::istringstream in(text);
  std::uint64_t count = 0;
  for (std::string name; in >> count && in.ignore() && std::getline(in, name);) tally.add(name, count);
  return tally;
}

}  // namespace hapair::sim
