#include "agent/daemon/partner_link.h"

#include <fmt/core.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "heartbeat/observed.h"

namespace hapair::agent {
namespace {

constexpr Duration kRetryConnect = std::chrono::milliseconds(50);
constexpr Duration kPatience = std::chrono::milliseconds(500);
// So many of this agent's own beats without one observation: the CCM has stopped telling, though its socket is open.
// The agent counts its own beats, not the clock, so that a time in which it did not run itself is not held against the
// CCM.
constexpr int kSilentTicks = 20;
constexpr Duration kSilentFor = std::chrono::seconds(1);
constexpr int kLateShare = 4;  // of its pace: so much later than the CCM's news this agent beats without them
constexpr Duration kSlowestBeat = std::chrono::milliseconds(20);

// Three of this agent's beats fit into the limit for them, as far as the two nodes' configurations agree: a beat more
// would only wake it once more. What the partner has to tell does not wait for it.
Duration beat_pace_of(const heartbeat::WatchLimits& limits) {
  const Duration wanted = std::min(limits.agent_floor / 3, kSlowestBeat);
  return std::max(wanted / limits.pace, Duration::rep{1}) * limits.pace;
}

// The agent counts as heard for as long as beats on the slowest disk may take to be seen to have ended.
Duration heard_for(const heartbeat::WatchLimits& limits) {
  Duration longest{};
  for (std::size_t i = 0; i < limits.network_lags.size(); ++i) {
    if (limits.network_lags.at(i) == Duration{}) continue;
    longest = std::max(longest, heartbeat::network_ceiling(limits, i) + limits.network_lags.at(i));
  }
  return longest;
}

}  // namespace

PartnerLink::PartnerLink(sd_event* loop, const Clock& clock, std::string ccm_socket,
                         const heartbeat::WatchLimits& limits, PartnerLinkListener& listener)
    : loop_(loop),
      clock_(&clock),
      ccm_socket_(std::move(ccm_socket)),
      limits_(limits),
      beat_pace_(beat_pace_of(limits)),
      silent_ticks_(std::max(static_cast<int>(kSilentFor / beat_pace_), kSilentTicks)),
      listener_(&listener),
      watch_(limits),
      blocks_(heard_for(limits)) {}

void PartnerLink::start() {
  next_tick_ = clock_->now();
  next_try_ = next_tick_;
  on_tick();
}

// Beats fall due at absolute times; beats missed while the loop did not run are not made up for.
void PartnerLink::arm_tick() {
  next_tick_ = std::max(next_tick_ + beat_pace_, clock_->now());
  if (tick_) return call_again_at(tick_, next_tick_);
  tick_ = call_at(
      loop_, next_tick_,
      [](sd_event_source*, std::uint64_t, void* self) {
        static_cast<PartnerLink*>(self)->on_tick();
        return 0;
      },
      this);
}

// The CCM tells something at each beat of this agent: what beats with that is not woken once more for a beat of its
// own, which then comes only where the CCM is late.
void PartnerLink::beat_with_ccm() {
  const Instant now = clock_->now();
  client_->beat();
  look_at_watchdog();
  look_at_poison();
  if (!client_ || next_tick_ - now > beat_pace_) return;
  next_tick_ = now + beat_pace_ + beat_pace_ / kLateShare;
  call_again_at(tick_, next_tick_);
}

// What does not reach the floor of the limits is forgiven where it is judged.
void PartnerLink::note_late(Duration late) {
  latest_ = std::max(latest_, late);
  if (late >= limits_.floor) listener_->came_late();
}

void PartnerLink::on_tick() {
  if (client_) {
    note_late(clock_->now() - next_tick_);
    if (!client_) return;  // what follows from being late may end this agent
    client_->beat();
    look_at_watchdog();
    look_at_poison();
    if (!client_) return;
    if (++ticks_without_news_ > silent_ticks_) {
      ticks_without_news_ = 0;
      const std::string why = fmt::format("the CCM has told nothing during {} beats of this agent", silent_ticks_);
      if (const auto assessment = watch_.own_ccm_lost(clock_->now(), why)) {
        listener_->own_ccm_changed(false, why);
        told_lost_ = true;
        listener_->partner_assessed(*assessment);
      }
    }
  } else if (clock_->now() >= next_try_) {
    next_try_ = clock_->now() + kRetryConnect;
    try_connect();
  }
  arm_tick();
}

void PartnerLink::try_connect() {
  auto client = ccm::Client::connect(ccm_socket_, ccm::kAgentClientName, beat_pace_, kPatience);
  if (!client) {
    if (!told_lost_) lose(client.error().text);
    return;
  }
  client_ = std::move(*client);
  ticks_without_news_ = 0;
  told_lost_ = false;
  blocks_.forget_told();
  end_poison();  // a CCM that comes anew knows of no order, and answers none
  listener_->own_ccm_changed(true, "");
  if (published_) client_->publish(*published_);
  give_feed();
  client_->beat();
  if (phase_) {
    // The CCM keeps the phase over its own restarts, so a refusal here only says that it knows better.
    (void)client_->set_phase(*phase_, kPatience);
  }
  events_ = watch_fd(
      loop_, client_->event_fd(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* self) {
        static_cast<PartnerLink*>(self)->drain();
        return 0;
      },
      this);
  socket_ = watch_fd(
      loop_, client_->socket_fd(), EPOLLIN | EPOLLHUP,
      [](sd_event_source*, int, std::uint32_t, void* self) {
        auto* link = static_cast<PartnerLink*>(self);
        if (!link->client_->alive()) link->lose("the CCM closed its socket: it stopped or was killed");
        return 0;
      },
      this);
}

void PartnerLink::lose(const std::string& why) {
  events_.reset();
  socket_.reset();
  client_.reset();
  told_lost_ = true;
  next_try_ = clock_->now() + kRetryConnect;
  listener_->own_ccm_changed(false, why);
  if (std::exchange(poison_asked_, 0) != 0) {
    const OnNews on_news = on_poison_news_;
    PoisonNews news;
    news.own_ccm_lost = true;
    on_news(news);
  }
  if (told_standing_.armed) {
    told_standing_ = {};
    told_fed_until_.reset();
    listener_->watchdog_changed(told_standing_, told_fed_until_);
  }
  if (const auto assessment = watch_.own_ccm_lost(clock_->now(), why)) listener_->partner_assessed(*assessment);
}

void PartnerLink::look() {
  if (client_) drain();
}

void PartnerLink::drain() {
  client_->acknowledge_events();
  look_at_poison();  // before what was read after it
  bool oldest = true;
  while (client_ && client_->next(scratch_)) {
    note_late(std::chrono::microseconds(scratch_.late_us));
    // What was no news was kept for it until its beat was due.
    if (std::exchange(oldest, false)) note_late(clock_->now() - instant_of_ns(scratch_.when_ns) - beat_pace_);
    ticks_without_news_ = 0;
    if (told_lost_) {
      told_lost_ = false;
      listener_->own_ccm_changed(true, "");
    }
    if (client_) take(scratch_);
  }
  if (client_) beat_with_ccm();
}

void PartnerLink::take(const ccm::ObservationLayout& raw) {
  if (raw.kind == static_cast<std::uint32_t>(ccm::ObservationKind::notice)) return take_notice(raw);
  const heartbeat::Observation seen = heartbeat::observed(raw);
  const auto assessment = watch_.observe(seen);
  // The handshake's proof does not cover what the page says of phase and pools; the session's MAC does.
  const bool sealed = seen.page && seen.proof == ccm::PageProof::session;
  const auto& sighting = watch_.sighting();
  const bool elsewhere = sighting && (!told_sighting_ || !told_sighting_->same_place(*sighting));
  if (sealed && sighting && (elsewhere || listener_->partner_sighting_wanted())) {
    told_sighting_ = sighting;
    listener_->partner_seen(*sighting);
  }
  if (assessment) listener_->partner_assessed(*assessment);
  if (sealed) take_page(raw, *seen.page);
  if (client_) look_whether_heard(seen.when);
}

bool PartnerLink::rails_silent() const { return watch_.assessment().verdict == heartbeat::Verdict::interconnect_lost; }

void PartnerLink::take_page(const ccm::ObservationLayout& raw, const ccm::StatusView& page) {
  const BlockReading reading{page.incarnation, page.ccm_beat, page.boot_id, instant_of_ns(raw.posted_ns),
                             instant_of_ns(raw.when_ns)};
  if (blocks_.take_page(reading, page.agent)) listener_->partner_published(page.agent, page.boot_id, {}, false);
}

// Its beat was told, and judged, before it.
void PartnerLink::take_notice(const ccm::ObservationLayout& raw) {
  const auto bytes = std::as_bytes(std::span(raw.page));
  const auto beat = ccm::parse_beat(bytes.first(ccm::kBeatBytes));
  if (!beat || raw.channel >= limits_.network_names.size()) return;
  ccm::NoticeLayout notice;
  std::memcpy(&notice, bytes.data() + ccm::kNoticeAt, sizeof notice);
  const BlockReading reading{beat->incarnation, beat->news.ccm_beat, beat->boot_id, instant_of_ns(raw.posted_ns),
                             instant_of_ns(raw.when_ns)};
  const AgentBeat agent{beat->news.agent_state, beat->news.agent_beat, beat->news.agent_life};
  const NoticeFate fate = blocks_.take_notice(reading, agent, notice.agent, rails_silent());
  if (fate == NoticeFate::handed_on || fate == NoticeFate::nothing_new) {
    notice_channel_ = "mailbox " + limits_.network_names.at(raw.channel);
  }
  if (fate != NoticeFate::handed_on) return look_whether_heard(reading.until);
  // In one word with what it says, so that neither is acted on without the other.
  told_heard_ = blocks_.agent_heard(reading.until, rails_silent());
  listener_->partner_published(notice.agent, beat->boot_id, notice_channel_, told_heard_);
}

void PartnerLink::look_whether_heard(Instant now) {
  const bool heard = blocks_.agent_heard(now, rails_silent());
  if (std::exchange(told_heard_, heard) != heard) listener_->partner_heard(heard, notice_channel_);
}

void PartnerLink::publish(const ccm::AgentBlockLayout& block) {
  published_ = block;
  if (client_) client_->publish(block);
}

void PartnerLink::feed(const std::optional<Instant>& until) {
  feed_given_ = true;
  feed_ = until;
  give_feed();
}

void PartnerLink::give_feed() {
  if (!client_ || !feed_given_) return;
  if (feed_) {
    client_->fed_until(*feed_);
  } else {
    client_->fed_freely();
  }
}

void PartnerLink::look_at_watchdog() {
  const auto standing = client_->watchdog();
  if (!standing) return;  // it is being written
  const std::optional<Instant> fed_until = client_->fed_until_taken();
  if (standing->armed == told_standing_.armed && standing->bound == told_standing_.bound &&
      fed_until == told_fed_until_) {
    return;
  }
  told_standing_ = *standing;
  told_fed_until_ = fed_until;
  listener_->watchdog_changed(told_standing_, told_fed_until_);
}

// ---- poison -------------------------------------------------------------------------------------------------------

void PartnerLink::look_at_poison() {
  const auto self = client_ ? client_->self() : std::nullopt;
  if (!self) return;  // it is being written
  const ccm::PoisonSelfLayout& told = self->poison;
  const auto state = static_cast<ccm::PoisonState>(told.state);
  const bool stands =
      state == ccm::PoisonState::accepted || state == ccm::PoisonState::resetting || state == ccm::PoisonState::cannot;
  // Also of an order that an agent before this one has answered.
  if (told.number != 0) blocks_.poisoned_at(instant_of_ns(told.accepted_at_ns));
  if (state == ccm::PoisonState::none) end_poison();  // that order, or a later one of which this agent never knew
  if (stands && told.number != poison_known_) {
    poison_known_ = told.number;
    poison_order_ = {Incarnation(told.from_incarnation), told.serial};
    blocks_.forget_told();  // what was told is forgotten with the order, and told again where it is read again
    listener_->poisoned(poison_order_);
  }
  if (client_) look_at_own_poison(told);
}

void PartnerLink::end_poison() {
  if (std::exchange(poison_known_, 0) != 0) listener_->poison_over(poison_order_);
}

void PartnerLink::look_at_own_poison(const ccm::PoisonSelfLayout& told) {
  const auto progress = static_cast<ccm::PoisonProgress>(told.progress);
  if (poison_asked_ == 0 || told.asked != poison_asked_ || progress == poison_told_) return;
  poison_told_ = progress;
  const OnNews on_news = on_poison_news_;  // which may give another order
  on_news({.progress = progress,
           .reason = static_cast<ccm::PoisonReason>(told.partner_reason),
           .error = told.partner_error,
           .own_ccm_lost = false});
}

void PartnerLink::answer_poison(const ccm::PoisonOrder& order, bool obeyed) {
  if (!client_ || order != poison_order_ || poison_known_ == 0) return;
  if (obeyed) {
    client_->poison_obeyed(poison_known_);
  } else {
    client_->poison_not_obeyed(poison_known_);
  }
}

bool PartnerLink::poison(OnNews on_news) { return order_poison(std::move(on_news), false); }

bool PartnerLink::order_poison(OnNews on_news, bool resets) {
  if (!client_) return false;
  on_poison_news_ = std::move(on_news);
  poison_told_ = ccm::PoisonProgress::none;
  poison_asked_ = client_->ask_for_poison(resets);
  return true;
}

void PartnerLink::withdraw_poison() {
  poison_asked_ = 0;
  if (client_) client_->withdraw_poison();
}

std::expected<void, ccm::ClientError> PartnerLink::set_phase(ccm::BootPhase phase) {
  phase_ = phase;
  if (!client_) return {};
  return client_->set_phase(phase, kPatience);
}

void PartnerLink::leave() {
  events_.reset();
  socket_.reset();
  tick_.reset();
  if (client_) client_->leave();
  client_.reset();
}

std::optional<ccm::CcmSelfLayout> PartnerLink::own_ccm() const {
  if (!client_) return std::nullopt;
  return client_->self();
}

}  // namespace hapair::agent
