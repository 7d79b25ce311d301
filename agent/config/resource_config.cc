#include "agent/config/resource_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "agent/config/reservation_config.h"
#include "ccm/wire/status_page.h"

namespace hapair::agent {
namespace {

using ccm::ConfigObject;

constexpr double kHourMs = 3'600'000;
constexpr std::size_t kMaxResources = 64;  // of one pool
constexpr std::string_view kNameRule = "1 to 31 letters, digits, '-', '_' or '.', beginning with a letter or digit";

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string whole_ms(Duration d) { return std::to_string(d / std::chrono::milliseconds(1)); }

template <class NameType>
NameType name_of(ConfigObject& object, std::string_view key) {
  const std::string text = object.text(key, std::nullopt);
  const auto name = NameType::parse(text);
  if (!name && !text.empty()) object.problems().add(object.path(key), in_quotes(text), std::string(kNameRule));
  return name.value_or(NameType{});
}

bool letters_and(std::string_view text, std::string_view others) {
  return !text.empty() && std::ranges::all_of(text, [others](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.contains(c);
  });
}

bool is_systemd_unit(std::string_view unit) {
  constexpr std::array<std::string_view, 7> kSuffixes{".service", ".socket", ".mount", ".automount",
                                                      ".target",  ".timer",  ".path"};
  const bool known = std::ranges::any_of(
      kSuffixes, [unit](std::string_view suffix) { return unit.size() > suffix.size() && unit.ends_with(suffix); });
  return known && unit.size() <= 255 && unit.front() != '-' && letters_and(unit, ":_.\\@-");
}

// Splits the type and checks that its agent is there.
void read_type(ConfigObject& object, const AgentPlaces& places, ResourceConfig& into) {
  into.type = object.text("type", std::nullopt);
  if (into.type.empty()) return;
  if (into.type == kReservationType) {
    into.kind = ResourceKind::reservation;
    return;
  }
  static const std::string kForms = "\"ocf:PROVIDER:AGENT\", \"systemd:UNIT\" or \"scsi:reservation\", such as " +
                                    std::string("\"ocf:heartbeat:Filesystem\" or \"systemd:nfs-server.service\"");
  const std::size_t colon = into.type.find(':');
  const std::string standard = into.type.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : into.type.substr(colon + 1);
  if (standard == "systemd" && is_systemd_unit(rest)) {
    into.kind = ResourceKind::systemd;
    into.unit = rest;
    return;
  }
  const std::size_t second = rest.find(':');
  into.provider = rest.substr(0, second);
  into.agent = second == std::string::npos ? "" : rest.substr(second + 1);
  const auto plain = [](const std::string& part) { return letters_and(part, "._-") && part.front() != '.'; };
  if (standard != "ocf" || !plain(into.provider) || !plain(into.agent)) {
    object.problems().add(object.path("type"), in_quotes(into.type), kForms);
    return;
  }
  const std::string program = places.ocf_program(into.provider, into.agent);
  if (const std::string why = why_not_runnable(program); !why.empty()) {
    object.problems().add(
        object.path("type"), in_quotes(into.type) + ", whose agent " + program + " " + why,
        "an installed agent (Debian: resource-agents brings ocf:heartbeat:*; OCF_ROOT=" + places.ocf_root + ")");
  }
}

void check_parameters(ConfigObject& object, const ResourceConfig& resource) {
  if (resource.kind == ResourceKind::systemd && !resource.parameters.empty()) {
    object.problems().add_sentence(
        object.path("parameters"),
        "a systemd unit takes no parameters; put them into the unit (systemctl edit " + resource.unit + ")");
  }
  for (const auto& [name, value] : resource.parameters) {
    const std::string where = object.path("parameters") + "." + name;
    const bool digit_first = !name.empty() && name.front() >= '0' && name.front() <= '9';
    if (!letters_and(name, "_") || digit_first || name.starts_with("CRM_meta")) {
      object.problems().add(where, "the name " + in_quotes(name),
                            "letters, digits and '_', beginning with a letter or '_', and not with \"CRM_meta\"");
    }
    if (value.contains('\0')) object.problems().add(where, "a zero byte", "text without zero bytes");
  }
}

void read_times(ConfigObject& object, ResourceConfig& into) {
  into.start_timeout = object.milliseconds("start_timeout_ms", 60'000, 100, kHourMs);
  into.stop_timeout = object.milliseconds("stop_timeout_ms", 60'000, 100, kHourMs);
  into.monitor_interval = object.milliseconds("monitor_interval_ms", 10'000, 0, kHourMs);
  const bool given = object.has("monitor_timeout_ms");
  into.monitor_timeout = object.milliseconds("monitor_timeout_ms", 20'000, 100, kHourMs);
  if (into.monitor_interval == Duration::zero()) return;
  if (into.monitor_interval < std::chrono::milliseconds(100)) {
    object.problems().add(object.path("monitor_interval_ms"), whole_ms(into.monitor_interval),
                          "0 (never), or from 100");
    return;
  }
  // The default gives way to the interval; what the operator wrote does not.
  if (!given) {
    into.monitor_timeout = std::min(into.monitor_timeout, into.monitor_interval);
  } else if (into.monitor_timeout > into.monitor_interval) {
    object.problems().add_sentence(object.path("monitor_timeout_ms"),
                                   "monitor_timeout_ms (" + whole_ms(into.monitor_timeout) +
                                       ") is longer than monitor_interval_ms (" + whole_ms(into.monitor_interval) +
                                       "): the next monitor would be due while one still runs; shorten the timeout or "
                                       "lengthen the interval");
  }
}

ResourceConfig read_resource(ConfigObject& object, const AgentPlaces& places) {
  ResourceConfig resource;
  resource.name = name_of<Name<struct ResourceNameTag>>(object, "name").text();
  read_type(object, places, resource);
  const bool reserves = resource.kind == ResourceKind::reservation;
  if (!reserves) {
    resource.parameters = object.text_map("parameters");
    check_parameters(object, resource);
  }
  read_times(object, resource);
  static constexpr std::array<std::string_view, 3> kOnFailure{"restart", "give-away", "ignore"};
  resource.on_failure = static_cast<OnFailure>(object.choice("on_failure", reserves ? 1 : 0, kOnFailure));
  resource.restarts = static_cast<int>(object.integer("restarts", 3, 0, 1000));
  if (resource.on_failure == OnFailure::restart && resource.restarts == 0) {
    object.problems().add_sentence(object.path("restarts"),
                                   "on_failure is \"restart\" with 0 restarts; write on_failure \"give-away\" where a "
                                   "failed resource is not to be tried again here");
  }
  if (reserves) read_reservation(object, places, resource);
  return resource;
}

std::string names_of(const std::vector<ResourceConfig>& resources) {
  std::string out;
  for (const auto& resource : resources) out += (out.empty() ? "" : ", ") + in_quotes(resource.name);
  return out;
}

// `after` needs all names of the pool, so it is read when they are known.
void read_after(std::vector<ConfigObject>& objects, std::vector<ResourceConfig>& resources) {
  for (std::size_t i = 0; i < objects.size(); ++i) {
    ConfigObject& object = objects[i];
    ResourceConfig& resource = resources[i];
    if (!object.has("after")) {
      object.leave("after");
      if (i > 0) resource.after = {i - 1};
      continue;
    }
    for (const std::string& name : object.texts("after")) {
      const auto it = std::ranges::find(resources, name, &ResourceConfig::name);
      if (it == resources.end() || name == resource.name) {
        object.problems().add(object.path("after"), in_quotes(name) + (name == resource.name ? ", itself" : ""),
                              "other resources of this pool: " + names_of(resources));
        continue;
      }
      const auto place = static_cast<std::size_t>(it - resources.begin());
      if (std::ranges::find(resource.after, place) == resource.after.end()) resource.after.push_back(place);
    }
  }
}

std::vector<ResourceConfig> read_resources(ConfigObject& pool, const AgentPlaces& places) {
  std::vector<ConfigObject> objects = pool.objects("resources", true);
  std::vector<ResourceConfig> resources;
  for (ConfigObject& object : objects) {
    resources.push_back(read_resource(object, places));
    const std::string& name = resources.back().name;
    const auto same = [&](const ResourceConfig& other) { return other.name == name; };
    if (!name.empty() && std::ranges::count_if(resources, same) > 1) {
      object.problems().add(object.path("name"), in_quotes(name) + " for a second time",
                            "names that differ in one pool");
    }
  }
  if (pool.has("resources") && (objects.empty() || objects.size() > kMaxResources)) {
    pool.problems().add(pool.path("resources"), std::to_string(objects.size()) + " resources",
                        "1 to " + std::to_string(kMaxResources) + " resources");
  }
  read_after(objects, resources);
  for (ConfigObject& object : objects) object.finish();
  if (const std::string circle = circle_in(resources); !circle.empty()) {
    pool.problems().add_sentence(pool.path("resources"), "\"after\" goes in a circle (" + circle +
                                                             "): none of them could ever start; take one of these out");
  } else {
    check_reservation_order(pool, resources);
  }
  return resources;
}

// What no two pools may have, since it cannot run for a pool that is here and be stopped for one that is not; empty
// where nothing of this resource is known to be so.
std::vector<std::string> exclusive_of(const ResourceConfig& resource) {
  if (resource.kind == ResourceKind::systemd) return {"systemd unit " + resource.unit};
  if (resource.kind == ResourceKind::reservation) {
    std::vector<std::string> disks = resource.devices;
    for (std::string& disk : disks) disk.insert(0, "disk ");
    return disks;
  }
  const auto parameter = [&resource](std::string_view name) {
    for (const auto& [key, value] : resource.parameters) {
      if (key == name) return value;
    }
    return std::string();
  };
  const std::string address = parameter("ip");
  if (resource.type == "ocf:heartbeat:IPaddr2" && !address.empty()) return {"address " + address};
  // A network's file system may well be mounted by two.
  const std::string device = parameter("device");
  if (resource.type != "ocf:heartbeat:Filesystem" || !device.starts_with("/dev/")) return {};
  return {"disk " + device};
}

void refuse_shared(ConfigObject& root, const std::vector<PoolConfig>& pools) {
  std::map<std::string, std::string> first_use;
  std::map<std::string, const PoolConfig*> first_pool;
  for (const PoolConfig& pool : pools) {
    for (const ResourceConfig& resource : pool.resources) {
      for (const std::string& exclusive : exclusive_of(resource)) {
        const std::string here = pool.name.text() + "." + resource.name;
        const auto [it, fresh] = first_use.emplace(exclusive, here);
        const PoolConfig* first = first_pool.emplace(exclusive, &pool).first->second;
        // One pool may well mount two parts of one disk, which it has reserved.
        if (fresh || (first == &pool && resource.kind != ResourceKind::systemd)) continue;
        std::string sentence = exclusive;
        sentence.append(" is a resource of ").append(it->second).append(" and of ").append(here);
        sentence +=
            ": both nodes could have it at once, and stopping one would stop the other; it belongs to one resource";
        root.problems().add_sentence(root.path("pools"), sentence);
      }
    }
  }
}

std::string fence_program(ConfigObject& device, const AgentPlaces& places) {
  std::string given = device.text("agent", std::nullopt);
  if (given.empty()) return given;
  if (given.contains('/')) {
    if (given.front() != '/') {
      device.problems().add(device.path("agent"), in_quotes(given), "a bare name or an absolute path");
      return given;
    }
    const std::string why = why_not_runnable(given);
    if (!why.empty()) device.problems().add(device.path("agent"), in_quotes(given) + ", which " + why, "a fence agent");
    return given;
  }
  std::string places_text;
  for (const std::string& folder : places.fence_path) {
    std::string program = folder + '/';
    program += given;
    if (why_not_runnable(program).empty()) return program;
    if (!places_text.empty()) places_text += ':';
    places_text += folder;
  }
  device.problems().add(device.path("agent"), in_quotes(given) + ", which is no executable file in " + places_text,
                        "an installed fence agent (Debian: package fence-agents), or its absolute path");
  return given;
}

std::vector<VetoConfig> read_vetoes(ConfigObject& pool) {
  std::vector<VetoConfig> vetoes;
  for (ConfigObject& object : pool.objects("vetoes", false)) {
    VetoConfig veto;
    veto.name = name_of<Name<struct VetoNameTag>>(object, "name").text();
    veto.program = object.texts("program");
    veto.timeout = object.milliseconds("timeout_ms", 5000, 100, kHourMs);
    const std::string first = veto.program.empty() ? "" : veto.program.front();
    const std::string why = first.empty()          ? "is missing"
                            : first.front() != '/' ? "is no absolute path"
                                                   : why_not_runnable(first);
    if (!why.empty()) {
      object.problems().add(object.path("program"), in_quotes(first) + ", which " + why,
                            "a list: the absolute path of a program, and what it is given");
    }
    object.finish();
    vetoes.push_back(std::move(veto));
  }
  return vetoes;
}

void check_fence_options(ConfigObject& device, const ParameterList& options, const ccm::PairConfig& pair) {
  for (const auto& [name, value] : options) {
    const std::string where = device.path("options") + "." + name;
    if (name == "action" || name == "option") {
      device.problems().add_sentence(where, "hapair itself says what to do; use the device's key \"action\"");
    }
    const bool names_target = name == "plug" || name == "port" || name == "nodename";
    if (names_target && !pair.node.empty() && value == pair.node.view()) {
      device.problems().add(where, in_quotes(value) + ", which is this node: the device would switch off the survivor",
                            "the partner's plug; each node's devices are against its partner");
    }
    if (!letters_and(name, "_-"))
      device.problems().add(where, "the name " + in_quotes(name), "letters, digits, '_', '-'");
    if (value.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos) {
      device.problems().add(where, "a value of several lines", "one line: an agent reads its options line by line");
    }
  }
}

}  // namespace

std::string why_not_runnable(const std::string& program) {
  struct stat st{};
  if (::stat(program.c_str(), &st) != 0) return "does not exist on this node";
  if (!S_ISREG(st.st_mode)) return "is not a regular file";
  if (::access(program.c_str(), X_OK) != 0) return "is not executable";
  return "";
}

std::string circle_in(const std::vector<ResourceConfig>& resources) {
  // Takes away whatever waits for nothing that is left; what stays is in a circle or behind one.
  std::vector<bool> gone(resources.size(), false);
  const auto waits_for = [&](std::size_t i) -> std::optional<std::size_t> {
    for (const std::size_t before : resources[i].after) {
      if (!gone[before]) return before;
    }
    return std::nullopt;
  };
  bool moved = true;
  while (moved) {
    moved = false;
    for (std::size_t i = 0; i < resources.size(); ++i) {
      if (gone[i] || waits_for(i)) continue;
      gone[i] = true;
      moved = true;
    }
  }
  const auto left = std::ranges::find(gone, false);
  if (left == gone.end()) return "";
  std::vector<std::size_t> way{static_cast<std::size_t>(left - gone.begin())};
  while (true) {
    const std::size_t next = *waits_for(way.back());
    const auto start = std::ranges::find(way, next);
    if (start == way.end()) {
      way.push_back(next);
      continue;
    }
    std::string text;
    for (auto it = start; it != way.end(); ++it) text += resources[*it].name + " after ";
    return text + resources[next].name;
  }
}

std::vector<PoolConfig> read_pools(ConfigObject& root, const ccm::PairConfig& pair, const AgentPlaces& places) {
  std::vector<PoolConfig> pools;
  for (ConfigObject& object : root.objects("pools", true)) {
    PoolConfig pool;
    pool.name = name_of<PoolName>(object, "name");
    pool.home = name_of<NodeName>(object, "home");
    // Where the two names themselves are refused, there is nothing to compare with.
    const bool two_names = !pair.node.empty() && !pair.partner.empty() && pair.node != pair.partner;
    if (two_names && !pool.home.empty() && pool.home != pair.node && pool.home != pair.partner) {
      object.problems().add(object.path("home"), in_quotes(pool.home.view()),
                            in_quotes(pair.node.view()) + " or " + in_quotes(pair.partner.view()));
    }
    pool.resources = read_resources(object, places);
    pool.vetoes = read_vetoes(object);
    object.finish();
    if (!pool.name.empty() && std::ranges::find(pools, pool.name, &PoolConfig::name) != pools.end()) {
      object.problems().add(object.path("name"), in_quotes(pool.name.view()) + " for a second time",
                            "names that differ");
    }
    pools.push_back(std::move(pool));
  }
  if (root.has("pools") && (pools.empty() || pools.size() > ccm::kMaxPools)) {
    root.problems().add(root.path("pools"), std::to_string(pools.size()) + " pools",
                        "1 to " + std::to_string(ccm::kMaxPools) + " pools");
  }
  refuse_shared(root, pools);
  return pools;
}

FencingConfig read_fencing(ConfigObject& root, const ccm::PairConfig& pair, const AgentPlaces& places) {
  FencingConfig fencing;
  ConfigObject object = root.object("fencing", false);
  for (ConfigObject& device : object.objects("devices", false)) {
    FenceDeviceConfig config;
    config.name = name_of<Name<struct FenceDeviceNameTag>>(device, "name").text();
    static constexpr std::array<std::string_view, 3> kKinds{"agent", "scsi", "poison"};
    config.kind = static_cast<FenceKind>(device.choice("type", 0, kKinds));
    if (config.kind == FenceKind::agent) {
      config.program = fence_program(device, places);
      config.options = device.text_map("options");
      check_fence_options(device, config.options, pair);
      static constexpr std::array<std::string_view, 2> kActions{"off", "reboot"};
      config.action = static_cast<FenceAction>(device.choice("action", 0, kActions));
    }
    config.timeout = device.milliseconds("timeout_ms", 20'000, 100, kHourMs);
    config.delay = device.milliseconds("delay_ms", 0, 0, kHourMs);
    device.finish();
    const auto same = [&](const FenceDeviceConfig& other) { return other.name == config.name; };
    if (!config.name.empty() && std::ranges::any_of(fencing.devices, same)) {
      device.problems().add(device.path("name"), in_quotes(config.name) + " for a second time", "names that differ");
    }
    fencing.devices.push_back(std::move(config));
  }
  fencing.attempts = static_cast<int>(object.integer("attempts", 3, 1, 1000));
  fencing.limit = static_cast<int>(object.integer("limit", 3, 0, std::int64_t{kFencesKept}));
  fencing.limit_within = object.milliseconds("limit_within_ms", kHourMs, 60'000, 24 * kHourMs);
  fencing.retry = object.milliseconds("retry_ms", 2000, 0, kHourMs);
  object.finish();
  return fencing;
}

}  // namespace hapair::agent
