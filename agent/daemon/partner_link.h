// The agent's tie to its own CCM: it registers, beats from the agent's one loop (so a hung loop is a standing beat),
// feeds what the CCM observes to the pure watch, and publishes the engine's block. It comes back by itself when the CCM
// was restarted; while there is none, the partner is unknown, and nobody is blamed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/core/partner_blocks.h"
#include "agent/shell/event_source.h"
#include "agent/shell/poisoner.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/client/client.h"
#include "heartbeat/partner_watch.h"

namespace hapair::agent {

class PartnerLinkListener {
 public:
  // The partner's order to stop every pool here, that this node's CCM has taken and nobody has obeyed yet. No block
  // that was read before it was taken is told after this.
  virtual void poisoned(const ccm::PoisonOrder& order) = 0;
  // Nobody waits for its answer any more, and it was not obeyed.
  virtual void poison_over(const ccm::PoisonOrder& order) = 0;
  virtual void partner_assessed(const heartbeat::Assessment& assessment) = 0;
  // A block that the partner published and proved to be its own; called when it is another one than before.
  // `channel`: "mailbox disk shared"; empty: a rail. `heard`: as partner_heard, which is not told then.
  virtual void partner_published(const ccm::AgentBlockLayout& block, const BootId& boot_id, const std::string& channel,
                                 bool heard) = 0;
  // Whether its agent is heard over mailbox disks while the rails are silent; called when that changes.
  virtual void partner_heard(bool heard, const std::string& channel) = 0;
  // A page with the session's MAC, before the verdict and the block that it carries: each one while
  // partner_sighting_wanted(), else where the partner's boot id or phase is another one than before.
  virtual void partner_seen(const heartbeat::Sighting& sighting) = 0;
  [[nodiscard]] virtual bool partner_sighting_wanted() const = 0;
  // The agent or its CCM was late by more than a look may be: told before what was seen meanwhile is judged.
  virtual void came_late() = 0;
  // What the CCM says of the watchdog, and what it has taken of feed(); called when it is another than before.
  virtual void watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) = 0;
  // This node's own CCM came (empty text) or went, with a sentence about why.
  virtual void own_ccm_changed(bool there, const std::string& why) = 0;

 protected:
  ~PartnerLinkListener() = default;
};

class PartnerLink final : public Poisoner {
 public:
  // All of the arguments outlive this.
  PartnerLink(sd_event* loop, const Clock& clock, std::string ccm_socket, const heartbeat::WatchLimits& limits,
              PartnerLinkListener& listener);
  PartnerLink(const PartnerLink&) = delete;
  PartnerLink& operator=(const PartnerLink&) = delete;

  void start();
  void publish(const ccm::AgentBlockLayout& block);
  // Kept and given again to a CCM that restarts. A refusal is told to the caller and not repeated.
  std::expected<void, ccm::ClientError> set_phase(ccm::BootPhase phase);
  // Has the watchdog fed up to `until`, or whatever becomes of this agent. Kept, and given again to a CCM that
  // restarts.
  void feed(const std::optional<Instant>& until);
  // Takes what the CCM has observed and this agent was not woken for: whoever is about to decide wants all of it.
  void look();
  // Of the order that the listener was told of last; of another one it says nothing.
  void answer_poison(const ccm::PoisonOrder& order, bool obeyed);
  // Poisoner
  bool poison(OnNews on_news) override;
  void withdraw_poison() override;
  // Has the whole node of the partner reset, in the place of an order that poison() gave.
  bool reset_partner(OnNews on_news) { return order_poison(std::move(on_news), true); }
  // The partner reads that this agent left on purpose.
  void leave();

  [[nodiscard]] const heartbeat::PartnerWatch& watch() const { return watch_; }
  [[nodiscard]] std::optional<ccm::CcmSelfLayout> own_ccm() const;
  // The most that a look of the CCM's or a beat of this agent's came late since this was asked last.
  Duration take_latest() { return std::exchange(latest_, Duration{}); }
  // As PartnerWatch has it.
  void widen(int factor) { watch_.widen(factor); }

 private:
  void note_late(Duration late);
  void try_connect();
  void lose(const std::string& why);
  void drain();
  void take(const ccm::ObservationLayout& raw);
  void take_page(const ccm::ObservationLayout& raw, const ccm::StatusView& page);
  void take_notice(const ccm::ObservationLayout& raw);
  void look_whether_heard(Instant now);
  [[nodiscard]] bool rails_silent() const;
  void on_tick();
  void arm_tick();
  void beat_with_ccm();
  void look_at_watchdog();
  void give_feed();
  bool order_poison(OnNews on_news, bool resets);
  void look_at_poison();
  void end_poison();
  void look_at_own_poison(const ccm::PoisonSelfLayout& told);

  sd_event* loop_;
  const Clock* clock_;
  std::string ccm_socket_;
  heartbeat::WatchLimits limits_;
  Duration beat_pace_;
  int silent_ticks_;
  PartnerLinkListener* listener_;
  heartbeat::PartnerWatch watch_;
  std::optional<ccm::Client> client_;
  std::optional<ccm::AgentBlockLayout> published_;
  std::optional<ccm::BootPhase> phase_;
  bool feed_given_ = false;                // feed() was called
  std::optional<Instant> feed_;            // and said this
  ccm::WatchdogStanding told_standing_{};  // as the listener was told
  std::optional<Instant> told_fed_until_;
  std::optional<heartbeat::Sighting> told_sighting_;
  std::uint64_t poison_known_ = 0;  // of this CCM's numbers, the last order that the listener was told of
  ccm::PoisonOrder poison_order_;   // that one
  std::uint64_t poison_asked_ = 0;  // this agent's own order; 0: none
  OnNews on_poison_news_;
  ccm::PoisonProgress poison_told_ = ccm::PoisonProgress::none;
  PartnerBlocks blocks_;
  std::string notice_channel_;  // of the last that counted
  bool told_heard_ = false;
  int ticks_without_news_ = 0;
  Duration latest_{};
  bool told_lost_ = false;
  Instant next_tick_;
  Instant next_try_;
  ccm::ObservationLayout scratch_{};
  EventSource events_;
  EventSource socket_;
  EventSource tick_;
};

}  // namespace hapair::agent
