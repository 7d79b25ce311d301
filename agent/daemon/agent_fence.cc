// A fence of the partner's node that Pacemaker asks for through fence_hapair, as the agent carries it out.
#include <fmt/core.h>

#include "agent/daemon/agent.h"

namespace hapair::agent {
namespace {

// A partner that boots, or writes the dump of a panic: nobody resets it (DESIGN.md, section 5). That its earlier life
// is over is told to the cluster by itself (ClusterTeller).
bool boots(const heartbeat::Assessment& assessment) {
  return assessment.verdict == heartbeat::Verdict::panicked ||
         (assessment.verdict == heartbeat::Verdict::rebooted && !assessment.stalled);
}

}  // namespace

CommandReply Agent::fence_partner(const std::string& by, std::chrono::seconds limit) {
  const std::string partner = config_.pair.partner.text();
  const auto refuse = [](std::string why) { return CommandReply{.accepted = false, .text = std::move(why)}; };
  if (config_.arbiter != ArbiterKind::pacemaker) {
    return refuse(fmt::format("the arbiter of this node's hapair is \"{}\": a node is reset at once for Pacemaker only",
                              text_of(config_.arbiter)));
  }
  link_.look();
  const heartbeat::Assessment& seen = link_.watch().assessment();
  if (boots(seen)) {
    return refuse(fmt::format("{} {}: it is not reset meanwhile", partner,
                              seen.verdict == heartbeat::Verdict::panicked ? "panicked and writes its dump" : "boots"));
  }
  // In the place of one that is under way: that may be of a life that is over already.
  if (!link_.reset_partner([this](const PoisonNews& news) { hear_of_fence(news); })) {
    return refuse("this node's ccmd is not there, so " + partner + " was not told; start it");
  }
  partner_fence_.begin(clock_->now() + limit);
  fence_limit_ = call_at(
      loop_, partner_fence_.until(),
      [](sd_event_source*, std::uint64_t, void* context) {
        auto* self = static_cast<Agent*>(context);
        if (self->partner_fence_.expire(self->clock_->now())) self->tell_fence();
        return 0;
      },
      this);
  tell(Severity::notice, "cluster-fence",
       fmt::format("{} is told to reset its node, as {} asked for the cluster: everything on it ends", partner, by));
  return {.accepted = true, .text = partner + " is told to reset its node", .decision = partner_fence_.number()};
}

void Agent::hear_of_fence(const PoisonNews& news) {
  if (partner_fence_.hear(news)) tell_fence();
}

void Agent::tell_fence() {
  const std::string partner = config_.pair.partner.text();
  switch (partner_fence_.state()) {
    case PartnerFence::State::none:
    case PartnerFence::State::ordered:
      return;
    case PartnerFence::State::taken:
      return tell(Severity::notice, "cluster-fence",
                  fmt::format("the ccmd of {} has the order and resets its node; the proof is its next life", partner));
    case PartnerFence::State::done:
      tell(Severity::notice, "cluster-fence", fmt::format("{} is fenced: {}", partner, partner_fence_.reason()));
      break;
    case PartnerFence::State::failed:
      tell(Severity::error, "cluster-fence",
           fmt::format("{} is not fenced: {}. The cluster goes on to its next device, or asks again", partner,
                       partner_fence_.reason()));
      break;
  }
  fence_limit_.reset();
  link_.withdraw_poison();
}

}  // namespace hapair::agent
