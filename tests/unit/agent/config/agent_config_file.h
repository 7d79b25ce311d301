// A configuration in a folder of its own, with the agents that it names, to be changed and loaded.
#pragma once

#include <gtest/gtest.h>

#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {

class AgentConfigFile : public testing::Test {
 protected:
  AgentConfigFile() {
    folder_.write_script("ocf/resource.d/heartbeat/Filesystem", "exit 0");
    folder_.write_script("ocf/resource.d/heartbeat/IPaddr2", "exit 0");
    folder_.write("ocf/resource.d/heartbeat/NoRights", "exit 0");
    folder_.write_script("sbin/fence_ipmilan", "exit 0");
    places_.ocf_root = folder_ / "ocf";
    places_.fence_path = {folder_ / "nowhere", folder_ / "sbin"};
  }

  // A configuration that has only what is required.
  [[nodiscard]] nlohmann::json least() const {
    return nlohmann::json::parse(R"({
      "pair": "lab", "node": "alpha", "partner": "beta", "ccm": {"rails": [{"name": "r0", "fabric": "shm"}]},
      "fencing": {"devices": [{"name": "power", "agent": "fence_ipmilan", "options": {"ip": "10.0.0.9", "plug": "beta"}}]},
      "pools": [{"name": "pool-a", "home": "alpha", "resources": [
        {"name": "fs", "type": "ocf:heartbeat:Filesystem", "parameters": {"device": "/dev/sda1", "run_fsck": false}},
        {"name": "nfs", "type": "systemd:nfs-server.service"},
        {"name": "ip", "type": "ocf:heartbeat:IPaddr2"}]}]})");
  }
  nlohmann::json& resource(nlohmann::json& config, std::size_t at) const { return config["pools"][0]["resources"][at]; }

  [[nodiscard]] std::expected<AgentConfig, ccm::ConfigProblems> load(const nlohmann::json& config) const {
    return load_agent_config(folder_.write("hapair.json", config.dump(2)), places_);
  }
  // The problems without the file's name before them.
  [[nodiscard]] std::vector<std::string> problems(const nlohmann::json& config) const {
    const auto loaded = load(config);
    if (loaded) return {};
    std::vector<std::string> lines;
    for (const std::string& line : loaded.error().lines()) {
      const std::string file = folder_ / "hapair.json: ";
      EXPECT_TRUE(line.starts_with(file)) << line;
      lines.push_back(line.substr(file.size()));
    }
    return lines;
  }
  [[nodiscard]] std::string only_problem(const nlohmann::json& config) const {
    const auto lines = problems(config);
    EXPECT_EQ(lines.size(), 1U) << testing::PrintToString(lines);
    return lines.empty() ? "" : lines.front();
  }

  test::TempFolder folder_;
  AgentPlaces places_;
};

}  // namespace hapair::agent
