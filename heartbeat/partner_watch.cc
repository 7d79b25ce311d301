#include "heartbeat/partner_watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace hapair::heartbeat {
namespace {

// An IP network is silent after so many of its beats and a look, however slow its pace is: while the rails are silent
// the partner beats there at each beat of its CCM. A disk has three of its own beats.
constexpr int kNetworkBeats = 2;
constexpr int kDiskBeats = 3;
constexpr int kAgentBeats = 3;

const ccm::ClientView* agent_of(const ccm::StatusView& page) {
  for (const ccm::ClientView& client : page.clients) {
    if (client.name == ccm::kAgentClientName) return &client;
  }
  return nullptr;
}

// As an operator names it; its number where there is no name for it.
std::string channel_name(std::string_view kind, std::span<const std::string> names, std::size_t number) {
  if (number >= names.size() || names[number].empty()) return fmt::format("{} {}", kind, number);
  return fmt::format("{} {}", kind, names[number]);
}

// "stands for 31.2 ms (limit 30.0 ms, arrivals every 10.1 ms)"
std::string standing(const Detector& detector) {
  return fmt::format("stands for {:.1f} ms (limit {:.1f} ms, before that it moved every {:.1f} ms)",
                     ms_of(detector.silence()), ms_of(detector.limit()), ms_of(detector.mean_arrival()));
}

}  // namespace

std::string PartnerWatch::rail_name(RailId rail) const {
  return channel_name("rail", limits_.rail_names, rail.value());
}

std::string PartnerWatch::network_name(std::uint8_t network) const {
  const std::string& name = network < limits_.network_names.size() ? limits_.network_names.at(network) : "";
  return name.empty() ? fmt::format("network {}", network) : name;
}

std::string_view text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::unknown:
      return "unknown";
    case Verdict::unproven:
      return "unproven";
    case Verdict::alive:
      return "alive";
    case Verdict::storage_stalled:
      return "storage-stalled";
    case Verdict::agent_hung:
      return "agent-hung";
    case Verdict::hung:
      return "hung";
    case Verdict::rebooted:
      return "rebooted";
    case Verdict::ccm_restarted:
      return "ccm-restarted";
    case Verdict::leaving:
      return "leaving";
    case Verdict::panicked:
      return "panicked";
    case Verdict::ccm_gone:
      return "ccm-gone";
    case Verdict::interconnect_lost:
      return "interconnect-lost";
    case Verdict::unreachable:
      return "unreachable";
  }
  return "unknown";
}

Duration network_floor(const WatchLimits& limits, std::size_t network) {
  const bool disk = limits.network_lags.at(network) != Duration{};
  const Duration pace = limits.network_paces.at(network);
  return std::max(limits.floor, disk ? kDiskBeats * pace : kNetworkBeats * pace + limits.pace);
}

Duration network_ceiling(const WatchLimits& limits, std::size_t network) {
  return std::max(limits.ceiling, network_floor(limits, network));
}

PartnerWatch::PartnerWatch(const WatchLimits& limits)
    : limits_(limits),
      rail_({limits.floor, limits.ceiling, limits.pace}),
      ccm_({limits.floor, limits.ceiling, limits.pace}),
      agent_({limits.agent_floor, limits.ceiling, limits.pace}),
      clients_(limits.agent_floor, limits.pace) {
  for (std::size_t i = 0; i < limits.network_paces.size(); ++i) {
    if (limits.network_paces.at(i) == Duration{}) break;
    networks_.push_back({Detector({network_floor(limits, i), network_ceiling(limits, i), limits.pace}),
                         limits.network_lags.at(i), std::nullopt, Instant()});
  }
}

void PartnerWatch::widen(int factor) {
  for (Detector* detector : {&rail_, &ccm_, &agent_}) detector->widen(factor);
  for (Network& network : networks_) network.detector.widen(factor);
}

double PartnerWatch::suspicion() const { return std::max({rail_.suspicion(), ccm_.suspicion(), agent_.suspicion()}); }

const Detector* PartnerWatch::network_detector(NetworkId network) const {
  return network.value() < networks_.size() ? &networks_[network.value()].detector : nullptr;
}

std::optional<Assessment> PartnerWatch::observe(const Observation& seen) {
  if (seen.kind == ccm::ObservationKind::beat) return take_beat(seen);
  if (seen.rail.value() >= rails_.size()) return std::nullopt;
  const bool page = seen.kind == ccm::ObservationKind::page && seen.page.has_value();
  // A page that proves nothing says nothing new while another rail shows a page that does.
  if (page && seen.proof == ccm::PageProof::none && proven_elsewhere(seen)) return std::nullopt;
  rail_.look(seen.when, page);
  // The CCM looks at its networks as often as at its rails; what it saw there is an observation of its own.
  for (Network& network : networks_) {
    if (network.last) network.detector.look(seen.when, false);
  }
  note_rail(seen);
  if (page) take_page(seen);
  std::optional<Finding> finding = judge(seen);
  if (!finding) return std::nullopt;
  return conclude(seen.when, std::move(*finding));
}

void PartnerWatch::note_rail(const Observation& seen) {
  Rail& rail = rails_.at(seen.rail.value());
  if (seen.kind == ccm::ObservationKind::failed) {
    rail.last_error = seen.error;
    rail.failed_at = seen.when;
    rail.host_answers = ccm::host_answered(seen.error);
    rail.sealed = false;
  }
  if (seen.kind != ccm::ObservationKind::page || !seen.page) return;
  rail.last_error = ccm::FabricError::none;
  rail.host_answers = false;
  rail.last_page = seen.when;
  rail.sealed = seen.proof == ccm::PageProof::session;
  if (rail.sealed) {
    rail.unsealed = false;
  } else if (!rail.unsealed) {
    rail.unsealed = true;
    rail.unsealed_since = seen.when;
  }
}

bool PartnerWatch::proven_elsewhere(const Observation& seen) const {
  for (std::size_t i = 0; i < rails_.size(); ++i) {
    const Rail& rail = rails_.at(i);
    if (i != seen.rail.value() && rail.sealed && seen.when - rail.last_page < rail_.limit()) return true;
  }
  return false;
}

// What the page tells the detectors. A new life of what beats is not held to the old one's count; a page that another
// rail overtook counts for nothing.
void PartnerWatch::take_page(const Observation& seen) {
  const ccm::StatusView& page = *seen.page;
  const bool same_ccm = last_ccm_ == page.incarnation;
  if (!same_ccm) ccm_.reset();
  if (same_ccm && page.ccm_beat < last_ccm_beat_) return;
  const bool ccm_moved = same_ccm && last_ccm_beat_ != page.ccm_beat;
  ccm_.look(seen.when, ccm_moved);

  const ccm::ClientView* agent = agent_of(page);
  if (agent != nullptr && agent->state == ccm::ClientState::registered) {
    if (agent->life != agent_life_ || !same_ccm) {
      const Duration floor =
          std::clamp(kAgentBeats * agent->pace, limits_.agent_floor, std::max(limits_.agent_floor, limits_.ceiling));
      agent_.begin({floor, limits_.ceiling, limits_.pace});
      agent_life_ = agent->life;
      agent_beat_ = agent->beat;
    }
    agent_.look(seen.when, agent->beat != agent_beat_);
    agent_beat_ = agent->beat;
  }
  last_ccm_ = page.incarnation;
  last_ccm_beat_ = page.ccm_beat;
  if (seen.proof != ccm::PageProof::session) return;
  proven_ = page;
  // A page that stands still shows nothing of its clients.
  if (ccm_moved) clients_.look(seen.when, page.clients);
  note_phase(seen);
}

// The time in its phase is the partner's own word, under the session's MAC: no clock of this node is compared with it.
void PartnerWatch::note_phase(const Observation& seen) {
  const ccm::StatusView& page = *seen.page;
  sighting_ = Sighting{seen.when, page.boot_id, page.phase};
  const Duration bound = limits_.phase_bounds.at(static_cast<std::size_t>(page.phase));
  if (bound.count() == 0 || page.phase_since <= bound) {
    stalled_.reset();
  } else if (!stalled_ || stalled_->boot_id != page.boot_id || stalled_->phase != page.phase) {
    stalled_ = PhaseStall{page.boot_id, page.phase, page.phase_since, bound};
  }
}

std::optional<PartnerWatch::Finding> PartnerWatch::judge(const Observation& seen) {
  if (seen.kind == ccm::ObservationKind::page && seen.page) return judge_page(seen);
  if (seen.kind == ccm::ObservationKind::unreadable && rail_.silent()) {
    return Finding{Verdict::unproven,
                   {{seen.when, rail_name(seen.rail), "something answers, but it is not a page of the partner"}},
                   false};
  }
  return judge_silence(seen);
}

const PartnerWatch::Rail* PartnerWatch::answering_host() const {
  for (const Rail& rail : rails_) {
    if (rail.host_answers) return &rail;
  }
  return nullptr;
}

// What looks now may be another one, which has been silent for longer.
std::string PartnerWatch::last_answering_rail(RailId otherwise) const {
  const auto newest = std::ranges::max_element(rails_, {}, &Rail::last_page);
  if (newest->last_page == Instant()) return rail_name(otherwise);
  return rail_name(RailId(static_cast<std::uint64_t>(newest - rails_.begin())));
}

std::optional<PartnerWatch::Finding> PartnerWatch::judge_silence(const Observation& seen) {
  const std::string channel = rail_name(seen.rail);
  // One rail's failure says nothing of the partner while another one shows it.
  const auto shown_elsewhere = [&](const Rail& rail) {
    return &rail != &rails_.at(seen.rail.value()) && rail.last_error == ccm::FabricError::none &&
           rail.last_page != Instant() && seen.when - rail.last_page < rail_.limit();
  };
  if (std::ranges::any_of(rails_, shown_elsewhere)) return std::nullopt;
  if (const Rail* rail = answering_host()) {
    const auto number = static_cast<std::uint64_t>(rail - rails_.data());
    return Finding{
        Verdict::ccm_gone,
        {{rail->failed_at, rail_name(RailId(number)),
          fmt::format("the partner's host answers \"{}\": its CCM is not there", text_of(rail->last_error))}},
        false};
  }
  if (!rail_.silent()) return std::nullopt;
  const ccm::FabricError last_error = rails_.at(seen.rail.value()).last_error;
  std::vector<Evidence> because;
  because.push_back(
      {rail_.last_moved(), last_answering_rail(seen.rail), "the last read of the partner's page that was answered"});
  because.push_back(
      {seen.when, channel,
       fmt::format("no read is answered for {:.1f} ms (limit {:.1f} ms){}", ms_of(rail_.silence()),
                   ms_of(rail_.limit()),
                   last_error == ccm::FabricError::none ? "" : fmt::format("; last error {}", text_of(last_error)))});
  if (const Network* network = beating_network()) {
    // Its last beat may have been on its way when the rails fell silent: one that is clearly younger, or the network's
    // own silence, decides.
    if (!outlived_rails(*network)) return std::nullopt;
    because.push_back(beats_of(*network));
    return Finding{Verdict::interconnect_lost, std::move(because), false};
  }
  for (const Network& network : networks_) {
    if (network.last) {
      because.push_back(
          {network.heard, network_name(network.last->network), fmt::format("the beat {}", standing(network.detector))});
    }
  }
  // Where any rail's own port still has its link, this node is not the one that is cut off.
  bool own_link_down = false;
  for (std::size_t i = 0; i < rails_.size(); ++i) {
    const Rail& rail = rails_.at(i);
    if (rail.last_error == ccm::FabricError::none) continue;
    own_link_down = rail.last_error == ccm::FabricError::link_down;
    if (!own_link_down) break;
  }
  if (own_link_down) because.push_back({seen.when, channel, "this node's own link is down"});
  return Finding{Verdict::unreachable, std::move(because), false, own_link_down};
}

std::optional<PartnerWatch::Finding> PartnerWatch::judge_page(const Observation& seen) {
  const ccm::StatusView& page = *seen.page;
  const std::string channel = rail_name(seen.rail);
  if (ccm_.silent()) {
    return Finding{
        Verdict::hung,
        {{ccm_.last_moved(), channel, fmt::format("the CCM's beat moved for the last time, to {}", page.ccm_beat)},
         {seen.when, channel, "the page is readable, and the CCM's beat " + standing(ccm_)},
         {seen.when, channel, "the agent's beat stands with it"}},
        false};
  }
  const bool sealed = seen.proof == ccm::PageProof::session;
  if (!sealed && seen.when - rails_.at(seen.rail.value()).unsealed_since < limits_.floor)
    return std::nullopt;                                                       // a handshake is under way
  const ccm::BootPhase phase = sealed ? page.phase : ccm::BootPhase::unknown;  // the proof does not cover it
  if (seen.proof == ccm::PageProof::none) {
    const std::string_view trouble = ccm::text_of_trouble(page.trouble);
    return Finding{Verdict::unproven,
                   {{seen.when, channel,
                     fmt::format("node {} of pair {} answers, but has not proved that it holds the pair's key{}{}",
                                 page.node.view(), page.pair.view(), trouble.empty() ? "" : "; it says: ", trouble)}},
                   false};
  }
  if (phase == ccm::BootPhase::panicked) {
    return Finding{Verdict::panicked, {{seen.when, channel, "its crash kernel publishes phase panicked"}}, false};
  }
  // A node whose agent died or hangs while it was stopping the storage does not get any further by itself.
  const ccm::ClientView* agent = agent_of(page);
  const bool stuck =
      phase == ccm::BootPhase::storage_stopping && agent != nullptr &&
      (agent->state == ccm::ClientState::gone || (agent->state == ccm::ClientState::registered && agent_.silent()));
  if (phase == ccm::BootPhase::shutting_down || (phase == ccm::BootPhase::storage_stopping && !stuck)) {
    return Finding{
        Verdict::leaving, {{seen.when, channel, fmt::format("it publishes phase {}", text_of(phase))}}, false};
  }
  return judge_agent(seen, phase, channel);
}

// Everything that beats does; what its storage software told of its work may yet stand still.
PartnerWatch::Finding PartnerWatch::alive(const ccm::StatusView& page, std::uint64_t agent_beat, Instant when,
                                          const std::string& channel) const {
  const WatchedClient* const client = clients_.stalled();
  Finding finding{client == nullptr ? Verdict::alive : Verdict::storage_stalled, {}, false};
  if (goes_on(finding)) return finding;  // what it rests on is not written a hundred times a second
  if (client != nullptr) {
    finding.because.push_back(
        {client->work->last_moved(), channel,
         fmt::format("the work of its client {} moved for the last time: {} done", client->name, client->completed)});
  }
  finding.because.push_back(
      {when, channel, fmt::format("all beats move (CCM {}, agent {})", page.ccm_beat, agent_beat)});
  if (client != nullptr) {
    finding.because.push_back(
        {when, channel,
         fmt::format("the work of its client {} stands for {:.0f} ms (limit {:.0f} ms): {} outstanding, none completed",
                     client->name, ms_of(client->work->silence()), ms_of(client->work->limit()), client->outstanding)});
  }
  return finding;
}

std::optional<PartnerWatch::Finding> PartnerWatch::judge_agent(const Observation& seen, ccm::BootPhase phase,
                                                               const std::string& channel) {
  const ccm::StatusView& page = *seen.page;
  const ccm::ClientView* agent = agent_of(page);
  const bool registered = agent != nullptr && agent->state == ccm::ClientState::registered;
  const bool beating = registered && !agent_.silent() && agent_.arrivals() > 0;
  if (beating) {
    settled_boot_ = page.boot_id;
    settled_ccm_ = page.incarnation;
    return alive(page, agent->beat, seen.when, channel);
  }
  const bool new_boot = settled_boot_.known() && page.boot_id != settled_boot_;
  // A phase that nobody knows is not a phase before storage-active.
  const bool before_active = phase != ccm::BootPhase::unknown && phase < ccm::BootPhase::storage_active;
  if (new_boot && before_active) {
    return Finding{Verdict::rebooted,
                   {{seen.when, channel,
                     fmt::format("a new boot id {} (was {}) in phase {}: it serves nothing", page.boot_id.text(),
                                 settled_boot_.text(), text_of(phase))}},
                   false};
  }
  const bool new_ccm = settled_ccm_.value() != 0 && page.incarnation != settled_ccm_;
  if (new_ccm && !new_boot && agent == nullptr) {
    return Finding{
        Verdict::ccm_restarted,
        {{seen.when, channel,
          fmt::format("a new incarnation {} of its CCM in the same life of its kernel", page.incarnation.value())}},
        false};
  }
  const bool boots = phase == ccm::BootPhase::early || phase == ccm::BootPhase::root;
  if (agent == nullptr && boots && !settled_boot_.known()) {
    // Never seen before, so there is no old boot id to compare with; but a CCM that restarts on a running node never
    // publishes so early a phase.
    return Finding{Verdict::rebooted,
                   {{seen.when, channel,
                     fmt::format("boot id {} in phase {}, its agent has not started: it boots and serves nothing",
                                 page.boot_id.text(), text_of(phase))}},
                   false};
  }
  if (agent == nullptr) {
    return Finding{Verdict::agent_hung, {{seen.when, channel, "its CCM beats; its agent has not registered"}}, false};
  }
  if (agent->state == ccm::ClientState::gone) {
    return Finding{
        Verdict::agent_hung, {{seen.when, channel, "its CCM beats and says that the agent's process is gone"}}, false};
  }
  if (agent->state == ccm::ClientState::left) {
    return Finding{Verdict::agent_hung, {{seen.when, channel, "its CCM beats; its agent said goodbye"}}, true};
  }
  if (!agent_.silent()) return std::nullopt;  // registered a moment ago: its first beat is due
  return Finding{
      Verdict::agent_hung,
      {{agent_.last_moved(), channel, fmt::format("the agent's beat moved for the last time, to {}", agent->beat)},
       {seen.when, channel, "the CCM's beat moves, and the agent's " + standing(agent_)}},
      false};
}

std::optional<Assessment> PartnerWatch::take_beat(const Observation& seen) {
  if (!seen.beat || seen.network.value() >= networks_.size()) return std::nullopt;
  Network& network = networks_[seen.network.value()];
  network.detector.look(seen.when, true);
  network.last = seen.beat;
  network.heard = seen.when;
  if (current_.verdict != Verdict::unreachable || !outlived_rails(network)) return std::nullopt;
  return conclude(seen.when, {Verdict::interconnect_lost, {beats_of(network)}, false});
}

// Its last beat was made when the rails had fallen silent, as far as its lag tells.
bool PartnerWatch::outlived_rails(const Network& network) const {
  return network.made() - rail_.last_moved() > 2 * limits_.pace;
}

// Of those that are not silent the one whose last beat is the youngest.
const PartnerWatch::Network* PartnerWatch::beating_network() const {
  const Network* found = nullptr;
  for (const Network& network : networks_) {
    const bool beats = network.last && !network.detector.silent();
    if (beats && (found == nullptr || network.made() > found->made())) found = &network;
  }
  return found;
}

Evidence PartnerWatch::beats_of(const Network& network) const {
  const ccm::BeatView& beat = *network.last;
  return {network.heard, network_name(beat.network),
          fmt::format("the partner beats there (CCM {}, agent {} {}), in phase {}", beat.news.ccm_beat,
                      beat.news.agent_beat, ccm::text_of(beat.news.agent_state), ccm::text_of(beat.news.phase))};
}

std::optional<Assessment> PartnerWatch::own_ccm_lost(Instant now, std::string why) {
  rail_.reset();
  ccm_.reset();
  agent_.reset();
  clients_.reset();
  last_ccm_.reset();
  rails_ = {};
  for (Network& network : networks_) {
    network.detector.reset();
    network.last.reset();
  }
  return conclude(now, {Verdict::unknown, {{now, "own CCM", std::move(why)}}, false});
}

bool PartnerWatch::stands(const Finding& finding) const {
  return finding.verdict == current_.verdict && finding.agent_left == current_.agent_left &&
         finding.own_link_down == current_.own_link_down;
}

// A partner that is not seen at work says nothing of its clients, neither that they hang nor that they are back.
std::string PartnerWatch::hung_client(const Finding& finding) const {
  return answers(finding.verdict) ? clients_.hung(current_.hung_client) : current_.hung_client;
}

bool PartnerWatch::goes_on(const Finding& finding) const {
  const bool same_stall =
      stalled_.has_value() == current_.stalled.has_value() &&
      (!stalled_ || (stalled_->boot_id == current_.stalled->boot_id && stalled_->phase == current_.stalled->phase));
  return stands(finding) && same_stall && hung_client(finding) == current_.hung_client;
}

std::optional<Assessment> PartnerWatch::conclude(Instant now, Finding finding) {
  if (goes_on(finding)) return std::nullopt;
  if (stalled_) {
    finding.because.push_back(
        {now, "phase",
         fmt::format("it is stalled in phase {} for {:.0f} s (bound {:g} s)", text_of(stalled_->phase),
                     ms_of(stalled_->in_phase) / 1000, ms_of(stalled_->bound) / 1000)});
  }
  // A verdict that stands goes on from when it was reached.
  const Instant since = stands(finding) ? current_.since : now;
  std::string hung = hung_client(finding);
  current_ = {finding.verdict, since,          std::move(finding.because), finding.agent_left, finding.own_link_down,
              stalled_,        std::move(hung)};
  return current_;
}

}  // namespace hapair::heartbeat
