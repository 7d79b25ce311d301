// What each sub-command of `hapair` does. Each returns the program's exit status; answers go to standard output,
// complaints to standard error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/control_client.h"

namespace hapair::cli {

struct Common {
  std::string config = "/etc/hapair/hapair.json";
  std::string socket;  // empty: as the configuration says
  bool json = false;
};

struct EventsOptions {
  std::uint32_t last = 0;  // 0: the default, or all with a `since`
  std::string since;       // "30s", "10m", "2h", "1d" ago
  std::uint64_t decision = 0;
  std::string pool;
  bool follow = false;
};

struct MoveOptions {
  std::vector<std::string> pools;
  bool force = false;
  bool ignore_vetoes = false;
  bool wait = false;
};

// One request to the agent of this node.
std::expected<control::v1::Reply, Failure> ask(const Common& common, const control::v1::Request& request);
// The node's run_dir, as the configuration says. Only this key is looked at: an agent that runs is asked even where its
// file was broken since.
std::expected<std::string, Failure> run_dir_of(const Common& common);

Exit show_status(const Common& common);
Exit show_fleet(const Common& common);                        // where there is none too: the answer says so
Exit show_why(const Common& common, std::uint64_t decision);  // 0: the newest one worth asking about
Exit show_events(const Common& common, const EventsOptions& options);
Exit take_over(const Common& common, const MoveOptions& options);
Exit give_back(const Common& common, const MoveOptions& options);
// What an operator forbids and allows again: takeover, giveback or maintenance (which `on` puts in force).
struct InhibitOptions {
  std::string what;
  std::string reason;
  std::string length;  // "30m", "2h"; empty: until it is allowed again
};
Exit inhibit(const Common& common, const InhibitOptions& options);
Exit allow(const Common& common, const std::string& what);
Exit confirm_down(const Common& common, const std::string& partner, bool wait);
Exit reset_state(const Common& common, bool certain);
Exit set_phase(const Common& common, const std::string& phase);
Exit check(const Common& common, const std::string& file);
// Asks the CCM itself: this works without the agent.
Exit show_rails(const Common& common);
Exit show_version(const Common& common);

// How long "30s", "10m", "2h" or "1d" is, in microseconds.
std::optional<std::int64_t> parse_length_us(std::string_view text);

}  // namespace hapair::cli
