#include "agent/cli/status_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "agent/cli/watchdog_text.h"
#include "ccm/wire/beat_datagram.h"

namespace hapair::cli {
namespace {

using control::v1::PoolStatus;
using control::v1::StatusReply;

constexpr std::size_t kLabelColumns = 15;

Tone tone_of_node(std::string_view state) {
  if (state == "serving" || state == "standby") return Tone::good;
  if (state == "failed" || state == "offline" || state == "isolated") return Tone::bad;
  return Tone::wary;
}

Tone tone_of_pool(const PoolStatus& pool) {
  if (pool.state() == "failed" || pool.failed_here()) return Tone::bad;
  return pool.state() == "serving" || pool.state() == "elsewhere" ? Tone::good : Tone::wary;
}

std::string line(std::string_view label, std::string_view text, const Style& style) {
  return padded(label, kLabelColumns) + wrapped(text, kLabelColumns, style.width) + "\n";
}

// Joined by ", " without the empty ones.
std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : ", ") + part;
  }
  return out;
}

std::string with(std::string_view word, const std::string& value) {
  return value.empty() ? "" : fmt::format("{} {}", word, value);
}

std::string head(const StatusReply& status, const Style& style) {
  std::string out = fmt::format("{}: {}   (pair {}, hapaird {}, up {})\n", status.node(),
                                toned(status.state(), tone_of_node(status.state()), style), status.pair(),
                                status.version(), duration_text(status.now_ns() - status.started_ns()));
  if (!status.reason().empty()) out += line("  why", status.reason(), style);
  if (!status.to_do().empty()) out += line("  to do", status.to_do(), style);
  return out + "\n";
}

std::string refusals(const control::v1::CcmStatus& ccm) {
  const std::array<std::pair<const char*, std::uint64_t>, 5> counters{{{"by key", ccm.refused_key()},
                                                                       {"by identity", ccm.refused_identity()},
                                                                       {"by layout", ccm.refused_layout()},
                                                                       {"as stale", ccm.refused_stale()},
                                                                       {"as malformed", ccm.refused_malformed()}}};
  std::vector<std::string> parts;
  for (const auto& [word, count] : counters) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, word));
  }
  return joined(parts);
}

bool to_be_told(std::string_view refusal) {
  for (std::size_t kind = 0; kind < ccm::kBeatRefusals; ++kind) {
    const auto known = static_cast<ccm::BeatRefusal>(kind);
    if (ccm::text_of(known) == refusal) return !ccm::nobodys_fault(known);
  }
  return true;
}

std::string network_text(const control::v1::NetworkStatus& network) {
  std::string text = network.state() + (network.is_disk() ? " (mailbox disk)" : " (UDP)");
  if (network.state() == "unsent") text += ": " + network.send_error();
  if (network.state() == "one-way") text += ": the partner is heard, and does not hear this node";
  if (network.round_trip_ns() > 0 && network.state() == "beats") {
    text += fmt::format(", round trip {:.2f} ms", static_cast<double>(network.round_trip_mean_ns()) / 1e6);
  }
  std::vector<std::string> refused;
  for (const auto& [kind, count] : std::map(network.refused().begin(), network.refused().end())) {
    if (!to_be_told(kind)) continue;
    const bool named = kind == "foreign" && !network.foreign().empty();
    refused.push_back(fmt::format("{} {}{}", count, kind, named ? " (" + network.foreign() + ")" : ""));
  }
  return refused.empty() ? text : text + "; refused: " + joined(refused);
}

std::string early_boot(const control::v1::CcmStatus& ccm, const Style& style) {
  std::string out;
  for (const std::string& problem : ccm.early_boot_problems()) {
    out += line(out.empty() ? "early boot" : "", toned(problem, Tone::wary, style), style);
  }
  return out;
}

std::string watchdog(const StatusReply& status, const Style& style) {
  const auto& ccm = status.ccm();
  if (!ccm.running()) return "";
  const auto& watchdog = ccm.watchdog();
  return line("watchdog",
              watchdog_text({.device = watchdog.device(),
                             .state = watchdog.state(),
                             .problem = watchdog.problem(),
                             .timeout_ms = watchdog.timeout_ms(),
                             .fed_until_ns = watchdog.fed_until_ns(),
                             .fed_for = watchdog.fed_for(),
                             .container = watchdog.container()},
                            status.now_ns(), style),
              style);
}

std::string early_channel(const StatusReply& status, const Style& style) {
  const auto& ccm = status.ccm();
  if (!ccm.running()) {
    const std::string what = ccm.problem().empty() ? "this node's CCM does not run" : ccm.problem();
    return line("early channel", toned(what, Tone::bad, style), style) + early_boot(ccm, style);
  }
  std::string out = line("early channel", joined({ccm.handshake(), with("this node in phase", ccm.phase())}), style);
  for (const auto& rail : ccm.rails()) {
    std::string text = fmt::format("{} ({})", rail.handshake(), rail.fabric());
    if (rail.handshake() == "connected") {
      text += fmt::format(", the handshake took {:.1f} ms", static_cast<double>(rail.connected_in_us()) / 1000);
    } else if (rail.last_error() != "none") {
      text += ", " + rail.last_error();
    }
    out += line("  " + rail.name(), text, style);
  }
  for (const auto& network : ccm.networks()) out += line("  " + network.name(), network_text(network), style);
  if (const std::string refused = refusals(ccm); !refused.empty()) out += line("  refused", refused, style);
  return out + early_boot(ccm, style);
}

// Verdicts under which no page of the partner is read that it proves to be its own, or the page stands still.
constexpr std::array<std::string_view, 6> kVerdictsWithoutPages{"unknown",  "unproven",          "hung",
                                                                "ccm-gone", "interconnect-lost", "unreachable"};

std::string client_text(const control::v1::PartnerClient& client, const Style& style) {
  std::string text = client.name() + (client.beats() ? "" : ", whose beat stands");
  if (client.tells_progress()) {
    text += fmt::format(", {} done, {} outstanding", client.completed(), client.outstanding());
    if (client.outstanding() > 0) {
      text += fmt::format(", last moved {} ago (limit {})",
                          duration_text(static_cast<std::int64_t>(client.stands_us()) * 1000),
                          duration_text(static_cast<std::int64_t>(client.limit_us()) * 1000));
    }
  }
  return client.stalled() || !client.beats() ? toned(text, Tone::bad, style) : text;
}

std::string partner(const StatusReply& status, const Style& style) {
  const auto& partner = status.partner_status();
  const Tone tone = partner.verdict() == "alive" ? Tone::good : Tone::wary;
  const std::string since =
      partner.since_ns() > 0 ? " for " + duration_text(status.now_ns() - partner.since_ns()) : std::string();
  const std::string suspicion = fmt::format("suspicion {:.2f}", partner.suspicion());
  const std::string said =
      joined({with("phase", partner.phase()), with("agent", partner.agent()), with("says", partner.node_state())});
  const std::string verdict = toned(partner.verdict(), tone, style) + since;
  // What it said last, where nothing that is proved to be its own comes any more.
  const bool stale = std::ranges::count(kVerdictsWithoutPages, partner.verdict()) > 0 && !said.empty();
  std::string out = line(status.partner(), joined({verdict, stale ? std::string() : said, suspicion}), style);
  if (stale) out += line("", "last known: " + said, style);
  for (const auto& evidence : partner.because()) {
    out += line("", fmt::format("{}: {}", evidence.channel(), evidence.fact()), style);
  }
  for (const auto& client : partner.clients()) out += line("", "its client " + client_text(client, style), style);
  std::vector<std::string> limits;
  for (const auto& limit : partner.limits()) {
    limits.push_back(
        fmt::format("{} {:.1f} ms ({})", limit.what(), static_cast<double>(limit.limit_us()) / 1000, limit.why()));
  }
  if (!limits.empty()) out += line("", "silent after: " + joined(limits), style);
  if (const auto& health = status.local_health(); health.factor() > 1) {
    const std::string why = fmt::format("limits widened {} times (up to heartbeat.ceiling_ms): this node {}",
                                        health.factor(), health.fact());
    out += line("", toned(why, Tone::bad, style), style);
  }
  if (status.configuration_differs()) {
    out += line("", toned("its configuration of the pools is another one: compare the two files", Tone::bad, style),
                style);
  }
  return out;
}

// What an operator has forbidden, most important first, for it explains what does not happen.
std::string inhibitions(const StatusReply& status, const Style& style) {
  static const std::map<std::string, std::string> kTexts = {
      {"takeover", "takes nothing over by itself"},
      {"giveback", "gives nothing back by itself"},
      {"maintenance", "in maintenance: everything is left as it is"},
      {"partner-maintenance", "its partner is in maintenance: its pools are left alone"}};
  std::string out;
  for (const auto& inhibition : status.inhibitions()) {
    const auto known = kTexts.find(inhibition.what());
    std::string text = known == kTexts.end() ? inhibition.what() : known->second;
    text += inhibition.has_left_ns() ? fmt::format(", for another {}", duration_text(inhibition.left_ns()))
                                     : std::string(", until it is ended");
    text += fmt::format(" ({}: {})", inhibition.by(), inhibition.reason());
    out += line(out.empty() ? "held back" : "", toned(text, Tone::bad, style), style);
  }
  return out;
}

std::string fencing(const StatusReply& status, const Style& style) {
  std::string devices;
  for (const std::string& device : status.fence_devices()) devices += (devices.empty() ? "" : ", ") + device;
  std::string text = status.arbiter() == "pacemaker" ? std::string("by the cluster")
                     : !devices.empty()              ? "by " + devices
                     : status.arbiter() == "mailbox" || status.arbiter() == "corosync"
                         ? std::string(
                               "no device: only a release, a reboot, the end of a lease or hapair confirm-down "
                               "permits a takeover")
                         : std::string("no device: only a release, a reboot or hapair confirm-down permits a takeover");
  if (status.has_last_fence()) {
    const auto& last = status.last_fence();
    text += fmt::format("; last: {}", last.result());
    if (!last.device().empty()) text += " by " + last.device();
    text += " after " + duration_text(static_cast<std::int64_t>(last.took_us()) * 1000);
    if (last.when_ns() > 0) text += fmt::format(", {} ago", duration_text(status.now_ns() - last.when_ns()));
    if (!last.reason().empty()) text += " (" + last.reason() + ")";
  }
  return line("fencing", text, style);
}

// One line where all resources are alike, else one each.
std::string resources(const PoolStatus& pool, const Style& style) {
  constexpr std::size_t kIndent = 4;
  std::set<std::string> states;
  std::string names;
  std::size_t name_columns = 0;
  bool quiet = true;
  for (const auto& resource : pool.resources()) {
    states.insert(resource.state());
    names += (names.empty() ? "" : ", ") + resource.name();
    name_columns = std::max(name_columns, resource.name().size());
    quiet = quiet && resource.busy().empty() && resource.restarts() == 0;
  }
  if (states.empty()) return "";
  if (states.size() == 1 && quiet && *states.begin() != "failed") {
    return std::string(kIndent, ' ') + wrapped(fmt::format("{}: {}", *states.begin(), names), kIndent, style.width) +
           "\n";
  }
  std::string out;
  for (const auto& resource : pool.resources()) {
    const Tone tone = resource.state() == "failed" ? Tone::bad : Tone::plain;
    std::string text = toned(padded(resource.state(), 9), tone, style) + resource.type();
    if (!resource.busy().empty()) text += ", " + resource.busy() + " runs";
    if (resource.restarts() > 0) text += fmt::format(", restarted {} times", resource.restarts());
    if (!resource.last_reason().empty()) text += ": " + resource.last_reason();
    const std::size_t indent = kIndent + name_columns + 2;
    out += std::string(kIndent, ' ') + padded(resource.name(), name_columns + 2) + wrapped(text, indent, style.width) +
           "\n";
  }
  return out;
}

// Behind how long the pool is in its state.
std::string lease_text(const PoolStatus& pool, std::int64_t now_ns) {
  if (pool.has_expiry_ns()) return ", the partner's lease is over in " + duration_text(pool.expiry_ns() - now_ns);
  if (!pool.leased()) return "";
  if (!pool.has_lease_over_ns()) return ", under a lease";
  const std::int64_t left = pool.lease_over_ns() - now_ns;
  return left > 0 ? ", lease for " + duration_text(left) : std::string(", lease over");
}

std::string arbiter(const StatusReply& status, const Style& style) {
  if (status.arbiter() == "corosync") {
    std::string out = line(
        "arbiter", "corosync: " + (status.quorum().empty() ? std::string("not asked yet") : status.quorum()), style);
    for (const std::string& trouble : status.quorum_troubles())
      out += line("", toned(trouble, Tone::bad, style), style);
    return out;
  }
  if (status.arbiter() != "mailbox") return "";
  std::string out;
  for (const std::string& trouble : status.mailbox_troubles()) {
    out += line(out.empty() ? "arbiter" : "", toned(trouble, Tone::bad, style), style);
  }
  return out.empty() ? line("arbiter", "mailbox", style) : out;
}

std::string pools(const StatusReply& status, const Style& style) {
  std::size_t name = 4;
  std::size_t node = 5;
  std::size_t state = 5;
  for (const PoolStatus& pool : status.pools()) {
    name = std::max(name, pool.name().size());
    node = std::max({node, pool.home().size(), pool.owner().size()});
    state = std::max(state, pool.state().size());
  }
  const auto row = [&](std::string_view n, std::string_view home, std::string_view owner, std::string_view epoch,
                       const std::string& s, std::string_view since) {
    return fmt::format("{}  {}  {}  {}  {}  {}\n", padded(n, name), padded(home, node), padded(owner, node),
                       right_aligned(epoch, 5), s, since);
  };
  std::string out =
      "\n" + toned(row("POOL", "HOME", "OWNER", "EPOCH", padded("STATE", state), "FOR"), Tone::dim, style);
  for (const PoolStatus& pool : status.pools()) {
    std::string since = pool.since_ns() > 0 ? duration_text(status.now_ns() - pool.since_ns()) : "";
    if (pool.claim() > 0) since += fmt::format(", claims epoch {}", pool.claim());
    if (pool.has_giveback_due_ns()) {
      since += ", goes home in " + duration_text(pool.giveback_due_ns() - status.now_ns());
    }
    since += lease_text(pool, status.now_ns());
    out += row(pool.name(), pool.home(), pool.owner().empty() ? "?" : pool.owner(), std::to_string(pool.epoch()),
               toned(padded(pool.state(), state), tone_of_pool(pool), style), since);
    const bool settled = tone_of_pool(pool) == Tone::good;
    if (!settled && !pool.reason().empty()) out += "    " + wrapped(pool.reason(), 4, style.width) + "\n";
    out += resources(pool, style);
  }
  return out;
}

}  // namespace

std::string status_text(const StatusReply& status, const Style& style) {
  return head(status, style) + early_channel(status, style) + watchdog(status, style) + partner(status, style) +
         inhibitions(status, style) + arbiter(status, style) + fencing(status, style) + pools(status, style);
}

}  // namespace hapair::cli
