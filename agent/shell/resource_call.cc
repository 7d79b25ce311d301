#include "agent/shell/resource_call.h"

#include <array>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

constexpr std::string_view kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct OcfCode {
  int code;
  std::string_view name;
  std::string_view meaning;
};
// OCF Resource Agent API 1.1, "Exit status codes".
constexpr std::array<OcfCode, 12> kOcfCodes{{
    {0, "OCF_SUCCESS", "the resource is there"},
    {1, "OCF_ERR_GENERIC", ""},
    {2, "OCF_ERR_ARGS", "a parameter is wrong"},
    {3, "OCF_ERR_UNIMPLEMENTED", "the agent does not know this action"},
    {4, "OCF_ERR_PERM", "the agent may not do it"},
    {5, "OCF_ERR_INSTALLED", "something that the agent needs is not installed on this node"},
    {6, "OCF_ERR_CONFIGURED", "the parameters do not fit together"},
    {7, "OCF_NOT_RUNNING", "the resource is not there"},
    {8, "OCF_RUNNING_PROMOTED", "promoted resources are not hapair's"},
    {9, "OCF_FAILED_PROMOTED", "promoted resources are not hapair's"},
    {190, "OCF_DEGRADED", "it works, but the agent expects a failure soon"},
    {191, "OCF_DEGRADED_PROMOTED", "promoted resources are not hapair's"},
}};
constexpr int kOcfNotRunning = 7;
constexpr int kOcfDegraded = 190;

Duration timeout_of(const ResourceConfig& resource, ResourceAction action) {
  switch (action) {
    case ResourceAction::start:
      return resource.start_timeout;
    case ResourceAction::stop:
      return resource.stop_timeout;
    case ResourceAction::monitor:
      return resource.monitor_timeout;
  }
  return resource.monitor_timeout;
}

std::string ms_text(Duration d) { return std::to_string(d / std::chrono::milliseconds(1)); }

ProcessSpec ocf_call(const PoolConfig& pool, const ResourceConfig& resource, ResourceAction action, Duration interval,
                     const ResourcePlaces& places) {
  ProcessSpec spec;
  spec.timeout = timeout_of(resource, action);
  spec.argv = {places.ocf_root + "/resource.d/" + resource.provider + "/" + resource.agent,
               std::string(text_of(action))};
  spec.environment = {
      std::string(kPath),
      "LC_ALL=C",
      "OCF_ROOT=" + places.ocf_root,
      "OCF_RA_VERSION_MAJOR=1",
      "OCF_RA_VERSION_MINOR=1",
      "OCF_RESOURCE_TYPE=" + resource.agent,
      "OCF_RESOURCE_PROVIDER=" + resource.provider,
      "OCF_RESOURCE_INSTANCE=" + pool.name.text() + "." + resource.name,
      "OCF_RESKEY_CRM_meta_timeout=" + ms_text(spec.timeout),
      "OCF_RESKEY_CRM_meta_interval=" + ms_text(interval),
      "HA_RSCTMP=" + places.scratch_dir,
      "HA_LOGFACILITY=none",
      "HA_debug=0",
  };
  for (const auto& [name, value] : resource.parameters) {
    std::string variable = "OCF_RESKEY_";
    variable += name;
    variable += '=';
    spec.environment.push_back(variable + value);
  }
  return spec;
}

ProcessSpec systemd_call(const ResourceConfig& resource, ResourceAction action, const ResourcePlaces& places) {
  std::vector<std::string> argv{places.systemctl, "--no-ask-password", "--no-pager"};
  if (action == ResourceAction::monitor) {
    // Not is-active: that answers "inactive" of a unit which does not exist.
    argv.insert(argv.end(), {"show", "--property=LoadState", "--property=ActiveState"});
  } else {
    argv.emplace_back(text_of(action));
  }
  argv.insert(argv.end(), {"--", resource.unit});
  return {.argv = std::move(argv),
          .environment = {std::string(kPath), "LC_ALL=C", "SYSTEMD_COLORS=0"},
          .input = "",
          .timeout = timeout_of(resource, action)};
}

ProcessSpec reserve_call(const PoolConfig& pool, const ResourceConfig& resource, ResourceAction action,
                         const ResourcePlaces& places) {
  ProcessSpec spec{.argv = {places.reserve_program, std::string(text_of(action))},
                   .environment = {std::string(kPath), "LC_ALL=C"},
                   .input = "",
                   .timeout = timeout_of(resource, action)};
  spec.argv.insert(spec.argv.end(), places.reserve_identity.begin(), places.reserve_identity.end());
  spec.argv.insert(spec.argv.end(), {"--title", title_of(pool, resource), "--command-timeout-ms",
                                     ms_text(resource.command_timeout), "--"});
  spec.argv.insert(spec.argv.end(), resource.devices.begin(), resource.devices.end());
  return spec;
}

// The agent's own sentence: OCF agents mark it, the newest counts; else the last line it wrote.
std::string words_of(const ProcessResult& result) {
  constexpr std::string_view kMark = "ocf-exit-reason:";
  const std::size_t at = result.err.rfind(kMark);
  if (at != std::string::npos) {
    const std::string_view rest = std::string_view(result.err).substr(at + kMark.size());
    return printable_line(rest.substr(0, rest.find('\n')));
  }
  const std::string line = printable_line(last_line(result.err));
  return line.empty() ? printable_line(last_line(result.out)) : line;
}

std::string with_words(const std::string& sentence, const ProcessResult& result) {
  const std::string words = words_of(result);
  return words.empty() ? sentence : sentence + ": " + words;
}

std::string ocf_sentence(const ResourceConfig& resource, ResourceAction action, const ProcessResult& result) {
  std::string sentence = resource.type + " " + std::string(text_of(action)) + " answered ";
  for (const OcfCode& known : kOcfCodes) {
    if (known.code != result.code) continue;
    sentence += std::string(known.name) + " (" + std::to_string(known.code);
    if (!known.meaning.empty()) sentence += ", " + std::string(known.meaning);
    return with_words(sentence + ")", result);
  }
  return with_words(sentence + "exit code " + std::to_string(result.code) + ", which no OCF agent should", result);
}

ActionResult ocf_meaning(const ResourceConfig& resource, ResourceAction action, const ProcessResult& result) {
  ActionResult out{.outcome = ActionOutcome::succeeded, .code = result.code, .reason = "", .took = result.took};
  if (result.code == 0) return out;
  out.reason = ocf_sentence(resource, action, result);
  if (action == ResourceAction::monitor && result.code == kOcfNotRunning) {
    out.outcome = ActionOutcome::not_running;
    out.reason.clear();
  } else if (action != ResourceAction::monitor || result.code != kOcfDegraded) {
    out.outcome = ActionOutcome::failed;
  }
  return out;
}

// Of hapair-reserve (agent/reservation/orders.h), whose codes are those of an OCF agent.
ActionResult reserve_meaning(ResourceAction action, const ProcessResult& result) {
  ActionResult out{
      .outcome = ActionOutcome::failed, .code = result.code, .reason = words_of(result), .took = result.took};
  const bool monitor = action == ResourceAction::monitor;
  if (result.code == 0 || (monitor && result.code == kOcfDegraded)) {
    out.outcome = ActionOutcome::succeeded;
  } else if (monitor && result.code == kOcfNotRunning) {
    out.outcome = ActionOutcome::not_running;
  } else if (out.reason.empty()) {
    out.reason = "hapair-reserve answered exit code " + std::to_string(result.code);
  }
  return out;
}

constexpr int kUnitNotLoaded = 5;  // what stop answers; systemctl(1), "Exit status"

// The value of `name` in the lines "NAME=VALUE" of systemctl show.
std::string property_in(const std::string& output, std::string_view name) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == '=') {
      return printable_line(line.substr(name.size() + 1));
    }
  }
  return "";
}

ActionResult systemd_meaning(const ResourceConfig& resource, ResourceAction action, const ProcessResult& result) {
  ActionResult out{.outcome = ActionOutcome::failed, .code = result.code, .reason = "", .took = result.took};
  if (action != ResourceAction::monitor) {
    // What systemd has not loaded does not run: there is nothing to stop.
    const bool nothing_to_stop = action == ResourceAction::stop && result.code == kUnitNotLoaded;
    if (result.code == 0 || nothing_to_stop) {
      out.outcome = ActionOutcome::succeeded;
    } else {
      out.reason =
          with_words("systemctl " + std::string(text_of(action)) + " " + resource.unit + " answered exit code " +
                         std::to_string(result.code) + " (see: journalctl -u " + resource.unit + ")",
                     result);
    }
    return out;
  }
  const std::string state = property_in(result.out, "ActiveState");
  if (state == "active" || state == "reloading") {
    out.outcome = ActionOutcome::succeeded;
  } else if (state == "inactive" && property_in(result.out, "LoadState") == "not-found") {
    out.outcome = ActionOutcome::not_running;
    out.reason = "systemd knows no unit " + resource.unit + " on this node; install it or correct the type";
  } else if (state == "inactive") {
    out.outcome = ActionOutcome::not_running;
  } else if (state == "failed") {
    out.outcome = ActionOutcome::not_running;
    out.reason = "systemd has " + resource.unit + " in the state \"failed\": it ended by itself (see: journalctl -u " +
                 resource.unit + ")";
  } else if (state == "activating" || state == "deactivating") {
    out.reason = "systemd is still " + state + " " + resource.unit + ": neither running nor cleanly stopped";
  } else {
    out.reason = with_words("systemctl show " + resource.unit + " answered exit code " + std::to_string(result.code) +
                                " and no state that is known",
                            result);
  }
  return out;
}

}  // namespace

std::string title_of(const PoolConfig& pool, const ResourceConfig& resource) {
  return pool.name.text() + "/" + resource.name;
}

ProcessSpec call_of(const PoolConfig& pool, const ResourceConfig& resource, ResourceAction action, Duration interval,
                    const ResourcePlaces& places) {
  ProcessSpec spec;
  switch (resource.kind) {
    case ResourceKind::ocf:
      spec = ocf_call(pool, resource, action, interval, places);
      break;
    case ResourceKind::systemd:
      spec = systemd_call(resource, action, places);
      break;
    case ResourceKind::reservation:
      spec = reserve_call(pool, resource, action, places);
      break;
  }
  spec.what = title_of(pool, resource) + " " + std::string(text_of(action));
  return spec;
}

ActionResult meaning_of(const ResourceConfig& resource, ResourceAction action, const ProcessResult& result) {
  ActionResult out{.outcome = ActionOutcome::failed, .code = result.code, .reason = "", .took = result.took};
  switch (result.end) {
    case ProcessResult::End::could_not_start:
      out.reason = result.reason;
      return out;
    case ProcessResult::End::timed_out:
      out.outcome = ActionOutcome::timed_out;
      out.reason = with_words(resource.type + " " + std::string(text_of(action)) + ": " + result.reason, result);
      return out;
    case ProcessResult::End::signalled:
      out.reason = with_words(
          resource.type + " " + std::string(text_of(action)) + " was ended by " + signal_name(result.code), result);
      return out;
    case ProcessResult::End::exited:
      break;
  }
  switch (resource.kind) {
    case ResourceKind::ocf:
      return ocf_meaning(resource, action, result);
    case ResourceKind::systemd:
      return systemd_meaning(resource, action, result);
    case ResourceKind::reservation:
      return reserve_meaning(action, result);
  }
  return out;
}

}  // namespace hapair::agent
