// How a resource's action becomes a call of a program, and what its answer means. Three kinds: OCF resource agents
// (Resource Agent API 1.1), systemd units through systemctl, and SCSI reservations through hapair-reserve. No process
// is run here.
#pragma once

#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/core/model.h"
#include "agent/shell/process.h"

namespace hapair::agent {

struct ResourcePlaces {
  std::string ocf_root = "/usr/lib/ocf";
  std::string scratch_dir = "/run/resource-agents";  // HA_RSCTMP: the agents' own runtime state
  std::string systemctl = "/usr/bin/systemctl";
  std::string reserve_program;
  std::vector<std::string> reserve_identity;  // what it is told in every call: --pair, --node and so on
};

// "pool-a/fs": what an action is written down under.
std::string title_of(const PoolConfig& pool, const ResourceConfig& resource);

// `interval` is zero for a probe (is it running at all?), else that of the recurring monitor.
ProcessSpec call_of(const PoolConfig& pool, const ResourceConfig& resource, ResourceAction action, Duration interval,
                    const ResourcePlaces& places);

ActionResult meaning_of(const ResourceConfig& resource, ResourceAction action, const ProcessResult& result);

}  // namespace hapair::agent
