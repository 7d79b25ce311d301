// Follows the records of one decision until every pool in it has come to rest: what `--wait` waits for.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "proto/control.pb.h"

namespace hapair::cli {

class DecisionWatch {
 public:
  enum class Goal : std::uint8_t { served_here, served_by_partner };
  struct Outcome {
    bool succeeded = false;
    std::string text;  // where each pool stands, and the last error on the way
  };

  explicit DecisionWatch(Goal goal) : goal_(goal) {}
  void add(const control::v1::RecordEntry& record);
  // Set once all is at rest.
  [[nodiscard]] std::optional<Outcome> outcome() const;

 private:
  Goal goal_;
  std::map<std::string, std::string> pools_;  // by name: the state that each was last seen to enter
  std::string trouble_;
};

}  // namespace hapair::cli
