#include "agent/shell/partner_fence.h"

#include <cstring>
#include <utility>

namespace hapair::agent {

std::string_view text_of(PartnerFence::State state) {
  switch (state) {
    case PartnerFence::State::none:
      return "none";
    case PartnerFence::State::ordered:
      return "ordered";
    case PartnerFence::State::taken:
      return "taken";
    case PartnerFence::State::done:
      return "done";
    case PartnerFence::State::failed:
      return "failed";
  }
  return "none";
}

void PartnerFence::begin(Instant until) {
  until_ = until;
  state_ = State::ordered;
  ++number_;
  reason_.clear();
}

bool PartnerFence::become(State state, std::string reason) {
  if (state == state_) return false;
  state_ = state;
  reason_ = std::move(reason);
  return true;
}

bool PartnerFence::hear(const PoisonNews& news) {
  using ccm::PoisonProgress;
  if (!under_way()) return false;
  const std::string partner = partner_.text();
  if (news.own_ccm_lost) {
    return become(State::failed, "this node's ccmd was lost before " + partner + " was seen in another life");
  }
  switch (news.progress) {
    case PoisonProgress::none:
    case PoisonProgress::written:
    case PoisonProgress::stopped:  // is not answered to such an order
      return false;
    case PoisonProgress::rebooted:
      if (state_ == State::taken) return become(State::done, partner + " is seen in another life of its kernel");
      return become(State::failed, partner +
                                       " came into another life of its kernel before it had the order: whether "
                                       "that is to end is to be asked again");
    case PoisonProgress::accepted:
    case PoisonProgress::resetting:
      return become(State::taken, "");
    case PoisonProgress::cannot: {
      const std::string errno_of = news.error == 0 ? "" : std::string(": ") + std::strerror(news.error);
      return become(State::failed, "the ccmd of " + partner + " cannot reset its node (" +
                                       std::string(ccm::text_of(news.reason)) + errno_of +
                                       "): set ccm.poison.reset there, or use a power switch");
    }
    case PoisonProgress::no_rail:
      return become(State::failed, "no rail to " + partner + " is connected, so it was not told");
    case PoisonProgress::not_known:
      return become(State::failed,
                    "the ccmd of " + partner + " does not know such an order; install the same version on both nodes");
    case PoisonProgress::lost:
      return become(State::failed, "every rail to " + partner + " was lost before it had the order");
    case PoisonProgress::restarted:
      return become(State::failed, "the ccmd of " + partner + " restarted, and has no order any more");
  }
  return false;
}

bool PartnerFence::expire(Instant now) {
  if (!under_way() || now < until_) return false;
  const char* what = state_ == State::taken ? " took the order to reset its node, and was not seen in another life"
                                            : " did not take the order to reset its node";
  return become(State::failed, partner_.text() + what + " in time: whether it runs cannot be told");
}

}  // namespace hapair::agent
