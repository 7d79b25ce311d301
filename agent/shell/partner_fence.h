// A fence of the partner's whole node that the cluster has asked for (resource-agents/fence_hapair): from the order to
// its CCM to reset it, up to the proof. Pure.
//
// The one proof is PoisonProgress::rebooted of an order that was taken: the life of the partner's kernel to which it
// was addressed answered that it has it, and then a page with the session's MAC showed another boot id. So that life is
// over, with all that ran in it. An answer alone proves nothing; that nobody is seen any more does not either; and a
// life that changed before the order was taken may not be the one that the cluster wants ended.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/shell/poisoner.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"

namespace hapair::agent {

class PartnerFence {
 public:
  enum class State : std::uint8_t {
    none,
    ordered,  // to its CCM, which has not answered yet
    taken,    // it resets its node; what is waited for is its next life
    done,
    failed,  // why: reason()
  };

  explicit PartnerFence(const NodeName& partner) : partner_(partner) {}

  // A later one takes the place of one that is under way. `until`: then it is given up.
  void begin(Instant until);
  // Whether these made it another state. Nothing changes what is over.
  bool hear(const PoisonNews& news);
  bool expire(Instant now);

  [[nodiscard]] State state() const { return state_; }
  // Counts them, from 1; 0: there was none.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] Instant until() const { return until_; }
  // A sentence, of done and failed.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  [[nodiscard]] bool under_way() const { return state_ == State::ordered || state_ == State::taken; }
  bool become(State state, std::string reason);

  NodeName partner_;
  State state_ = State::none;
  std::uint64_t number_ = 0;
  Instant until_;
  std::string reason_;
};
std::string_view text_of(PartnerFence::State state);

}  // namespace hapair::agent
