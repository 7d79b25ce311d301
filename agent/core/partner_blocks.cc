#include "agent/core/partner_blocks.h"

namespace hapair::agent {

std::string_view text_of(NoticeFate fate) {
  switch (fate) {
    case NoticeFate::handed_on:
      return "handed-on";
    case NoticeFate::nothing_new:
      return "nothing-new";
    case NoticeFate::rails_tell:
      return "rails-tell";
    case NoticeFate::no_page:
      return "no-page";
    case NoticeFate::before_page:
      return "before-page";
    case NoticeFate::before_poison:
      return "before-poison";
    case NoticeFate::out_of_order:
      return "out-of-order";
  }
  return "unknown";
}

bool PartnerBlocks::hand_on(const ccm::AgentBlockLayout& block) {
  if (block.serial == 0 || has_told(block)) return false;
  told_serial_ = block.serial;
  told_life_ = block.agent_life;
  return true;
}

bool PartnerBlocks::may_be_older_than_notice(const BlockReading& page) const {
  if (!notice_) return false;
  if (page.incarnation == notice_->incarnation) return page.ccm_beat < notice_->ccm_beat;
  return page.from <= notice_->until;
}

bool PartnerBlocks::take_page(const BlockReading& reading, const ccm::AgentBlockLayout& block) {
  // One of another rail that took longer is no newer one, but was read all the same: notices are held to the latest.
  if (!page_ || reading.until >= page_->until) page_ = reading;
  if (reading.from <= poisoned_at_ || may_be_older_than_notice(reading)) return false;
  // Which of two lives of its agent is the older one the engine knows.
  if (block.agent_life == told_life_ && block.serial < told_serial_) return false;
  return hand_on(block);
}

std::optional<NoticeFate> PartnerBlocks::refusal(const BlockReading& reading, bool rails_silent) const {
  if (!rails_silent) return NoticeFate::rails_tell;
  if (!page_ || page_->boot_id != reading.boot_id) return NoticeFate::no_page;
  if (reading.from <= page_->until) return NoticeFate::before_page;
  if (reading.from <= poisoned_at_) return NoticeFate::before_poison;
  if (!notice_) return std::nullopt;
  const bool in_order = reading.incarnation == notice_->incarnation ? reading.ccm_beat > notice_->ccm_beat
                                                                    : reading.from > notice_->until;
  if (!in_order) return NoticeFate::out_of_order;
  return std::nullopt;
}

NoticeFate PartnerBlocks::take_notice(const BlockReading& reading, const AgentBeat& agent,
                                      const ccm::AgentBlockLayout& block, bool rails_silent) {
  NoticeFate fate = NoticeFate::nothing_new;
  if (const auto refused = refusal(reading, rails_silent)) {
    fate = *refused;
  } else {
    const bool same_life = notice_ && notice_->incarnation == reading.incarnation && agent_.life == agent.life;
    const bool moved = agent.state == ccm::ClientState::registered && same_life && agent.beat != agent_.beat;
    if (moved) agent_moved_ = reading.until;
    if (agent.state != ccm::ClientState::registered) agent_moved_.reset();
    notice_ = reading;
    agent_ = agent;
    if (hand_on(block)) fate = NoticeFate::handed_on;
  }
  ++fates_.at(static_cast<std::size_t>(fate));
  return fate;
}

bool PartnerBlocks::agent_heard(Instant now, bool rails_silent) const {
  const bool since_page = agent_moved_ && page_ && *agent_moved_ > page_->until;
  return rails_silent && since_page && now - *agent_moved_ <= heard_for_;
}

}  // namespace hapair::agent
