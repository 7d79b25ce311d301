#include "ccm/daemon/ccm.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

std::uint64_t ns_between(Instant from, Instant to) {
  return to > from ? static_cast<std::uint64_t>((to - from).count()) : 0;
}

HandshakeIdentity handshake_identity(const CcmIdentity& identity) {
  return {identity.config.pair, identity.config.node, identity.config.partner, identity.incarnation, identity.boot_id};
}

std::uint32_t us_of(Duration pace) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(pace).count());
}

}  // namespace

Ccm::Ccm(const CcmIdentity& identity, std::span<Fabric* const> fabrics, std::vector<Network> networks,
         PortCarrier& ports, WatchdogKeeper& watchdog, const SysrqTrigger& sysrq, Random& random, PhaseRecord phase,
         const Clock& clock)
    : config_(identity.config),
      trouble_(identity.trouble),
      clock_(&clock),
      phase_(std::move(phase)),
      ports_(config_.node, config_.partner, identity.incarnation, config_.port_memory_bytes, ports),
      watchdog_(&watchdog),
      poison_(config_, clock, identity.incarnation, watchdog, sysrq),
      clients_(identity.incarnation, random, *this, ports_, watchdog),
      networks_(std::move(networks)),
      grid_(clock.now(), config_.pace) {
  ports_.set_clients(clients_);
  HAPAIR_CHECK(fabrics.size() == config_.rails.size(), "every rail has its fabric");
  rails_.reserve(fabrics.size());
  for (std::size_t i = 0; i < fabrics.size(); ++i) {
    Rail& rail = rails_.emplace_back(RailId(i), config_.rails[i].name, handshake_identity(identity),
                                     HandshakeSettings{config_.pace, config_.operation_deadline}, identity.key,
                                     *fabrics[i], random);
    StatusPageLayout& page = rail.page();
    put_name(page.pair, config_.pair.view());
    put_name(page.node, config_.node.view());
    page.incarnation = identity.incarnation.value();
    page.boot_id = identity.boot_id.bytes;
    page.pace_us = us_of(config_.pace);
  }
  self_.incarnation = identity.incarnation.value();
  self_.boot_id = identity.boot_id.bytes;
  self_.pace_us = us_of(config_.pace);
  self_.rail_count = static_cast<std::uint8_t>(rails_.size());
  self_.network_count = static_cast<std::uint8_t>(networks_.size());
}

std::expected<void, std::string> Ccm::open(int epoll) {
  if (auto opened = clients_.open(config_.ccm_socket(), epoll); !opened) return opened;
  for (Rail& rail : rails_) rail.set_observations(clients_.observations());
  return {};
}

void Ccm::woken_by(int fd) {
  for (const Rail& rail : rails_) partner_looks_ |= rail.hears_partner_at(fd);
}

Instant Ccm::turn(Instant now) {
  if (std::exchange(partner_looks_, false)) grid_.partner_looks(now);
  // Before the rails answer the partner, which then reads this very beat.
  const bool beats = grid_.take(now);
  if (beats) {
    ++beat_;
    publish(now);
    clients_.take_fed_until();
    watchdog_->turn();
    for (Network& network : networks_) network.take(now, grid_.late(), clients_.observations());
  }
  // A rail tells something at every beat, be it that nothing was seen: what a network told before is read with that.
  bool told = false;
  bool news = false;
  for (Rail& rail : rails_) {
    rail.turn(now, beats, grid_.late());
    const RailNews last = rail.take_news();
    told |= last != RailNews::none;
    news |= last == RailNews::some;
  }
  if (beats) {
    const BeatNews own = this->news();
    // Both nodes see it where the rails between them fail, so each of them is heard in time whatever the network's
    // pace.
    const bool at_once = !std::ranges::all_of(rails_, &Rail::shows_partner);
    const AgentBlockLayout& agent = rails_.front().page().agent;
    for (Network& network : networks_) network.beat(now, own, agent, at_once);
  }
  if (poison_.turn(now, rails_, clients_.poison_words())) publish(now);
  ports_.take_rails(rails_);
  if (ports_.turn(now, rails_)) publish(now);
  if (beats) publish_self();
  if (told) clients_.wake_clients(now, config_.pace, news);
  Instant next = grid_.next();
  if (const auto wake = ports_.next_wake()) next = std::min(next, *wake);
  for (const Rail& rail : rails_) {
    if (const auto wake = rail.next_wake()) next = std::min(next, *wake);
  }
  return next;
}

// What all rails tell alike.
void Ccm::publish(Instant now) {
  const bool unusable = std::ranges::any_of(rails_, [](const Rail& rail) { return rail.unusable(); });
  const auto trouble = static_cast<std::uint8_t>(trouble_ | (unusable ? kTroubleRail : 0));
  for (Rail& rail : rails_) {
    StatusPageLayout& page = rail.page();
    page.ccm_beat = beat_;
    page.phase = static_cast<std::uint8_t>(phase_.phase());
    page.trouble = trouble;
    page.phase_since_ms = ns_between(phase_.since(), now) / 1'000'000;
    clients_.copy_to(page);
    page.session = ports_.block();
    page.poison = poison_.answer();
    rail.publish(now);
  }
}

void Ccm::publish_self() {
  self_.beat = beat_;
  self_.phase = static_cast<std::uint8_t>(phase_.phase());
  self_.handshake = static_cast<std::uint8_t>(HandshakeState::searching);
  self_.refused_key = self_.refused_identity = self_.refused_layout = self_.refused_stale = self_.refused_malformed = 0;
  const auto progress = [](std::uint8_t state) {
    // A rail that is refused tells more than one that finds nobody, less than one that gets somewhere.
    return state == static_cast<std::uint8_t>(HandshakeState::refused) ? 1 : 2 * int{state};
  };
  for (std::size_t i = 0; i < rails_.size(); ++i) {
    const Rail& rail = rails_[i];
    self_.rails[i] = rail.self();
    if (progress(rail.self().handshake) > progress(self_.handshake)) self_.handshake = rail.self().handshake;
    const RefusalCounters& refused = rail.handshake().refused();
    self_.refused_key += refused.key;
    self_.refused_identity += refused.identity;
    self_.refused_layout += refused.layout;
    self_.refused_stale += refused.stale;
    self_.refused_malformed += refused.malformed;
    if (!refused.foreign_node.empty()) {
      put_name(self_.refused_pair, refused.foreign_pair.view());
      put_name(self_.refused_node, refused.foreign_node.view());
    }
    if (refused.foreign_layouts.max != 0) {
      self_.refused_layout_min = refused.foreign_layouts.min;
      self_.refused_layout_max = refused.foreign_layouts.max;
    }
  }
  for (std::size_t i = 0; i < networks_.size(); ++i) self_.networks[i] = networks_[i].self();
  ports_.show(self_);
  self_.watchdog = watchdog_->self();
  self_.poison = poison_.self();
  clients_.observations().write_self(self_);
}

// What the beats of all networks tell, as the pages do.
BeatNews Ccm::news() {
  BeatNews news{.phase = phase_.phase(), .ccm_beat = beat_};
  for (const ClientSlotLayout& client : rails_.front().page().clients) {
    if (name_in(client.name) != kAgentClientName) continue;
    news.agent_state = static_cast<ClientState>(client.state);
    news.agent_beat = client.beat;
    news.agent_life = client.life;
  }
  return news;
}

ClientRefusal Ccm::set_phase(BootPhase phase) {
  if (!phase_.allows(phase)) return ClientRefusal::phase_backward;
  const Instant now = clock_->now();
  if (const auto written = phase_.set(phase, now); !written) {
    say(4, "the boot phase is published, but could not be kept for a restarted ccmd: " + written.error());
  }
  publish(now);
  return ClientRefusal::none;
}

void Ccm::end_watchdog() {
  clients_.take_fed_until();
  watchdog_->end();
}

void Ccm::withdraw() {
  for (Rail& rail : rails_) rail.withdraw(clock_->now());
}

}  // namespace hapair::ccm
