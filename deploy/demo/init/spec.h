// What a node of the demonstration is made of: written by deploy/demo/world/machine.py, read at each boot.
#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

namespace hapair::demo {

struct NodeSpec {
  std::string node;
  std::string netns;  // a named network namespace that is there already, with its port plugged in
  std::string root;   // an empty folder: the node's root file system is put together there
  std::string etc;    // the node's own /etc and /var: they outlive its power cycles
  std::string var;
  std::string programs;      // becomes /usr/local/sbin
  std::string shm;           // the folder that both nodes see; becomes /dev/shm/hapair
  std::string power_socket;  // the way to the power controller; becomes /run/power.sock
  std::string status;        // how far the boot is, one word a line, for the world outside
  std::vector<std::pair<std::string, std::string>> disks;  // name and device: /run/disks/NAME points to the device
  std::string watchdog;  // where hapair-node-init, which is process 1 then, offers the watchdog; empty: without one
  bool cluster = true;   // false: storage services only, without ccmd and hapaird
};

// The error is a sentence.
std::expected<NodeSpec, std::string> load_spec(const std::string& file);

}  // namespace hapair::demo
