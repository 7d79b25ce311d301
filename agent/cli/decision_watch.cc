#include "agent/cli/decision_watch.h"

#include <algorithm>

#include "agent/cli/record_text.h"

namespace hapair::cli {
namespace {

// The states of a pool in which nothing is under way (agent/core/transitions.h).
bool at_rest(const std::string& state) {
  return state == "serving" || state == "elsewhere" || state == "failed" || state == "unsettled" ||
         state == "held back";
}

}  // namespace

void DecisionWatch::add(const control::v1::RecordEntry& record) {
  if (record.kind() == "vetoes-asked") pools_[record.pool()] = "asked";
  if (record.kind() == "vetoed") pools_[record.pool()] = "serving";
  if (record.kind() == "held-back") pools_[record.pool()] = "held back";
  if (record.kind() == "pool-state") pools_[record.pool()] = field_of(record, "to");
  if (record.severity() == "error" || record.severity() == "warning") trouble_ = record.text();
}

std::optional<DecisionWatch::Outcome> DecisionWatch::outcome() const {
  if (pools_.empty()) return std::nullopt;
  const std::string wanted = goal_ == Goal::served_here ? "serving" : "elsewhere";
  Outcome out{.succeeded = true, .text = ""};
  for (const auto& [pool, state] : pools_) {
    if (!at_rest(state)) return std::nullopt;
    out.succeeded = out.succeeded && state == wanted;
    out.text += (out.text.empty() ? "" : ", ") + pool + " is " + (state == "elsewhere" ? "with the partner" : state);
  }
  if (!out.succeeded && !trouble_.empty()) out.text += "; " + trouble_;
  return out;
}

}  // namespace hapair::cli
