// What is watched: the pools and what a node can hold of each.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::demo {

// A resident tgtd listens on every node all the time, so a listener says nothing; these do.
enum class Holding : std::uint8_t {
  mount,    // the kernel has a superblock on the node's own loop device of the pool's image
  address,  // an interface of the node has the pool's address
  lun,      // the node's tgtd has the LUN's file open
};
inline constexpr std::array kHoldings{Holding::mount, Holding::address, Holding::lun};
std::string_view text_of(Holding holding);

struct WatchedPool {
  std::string name;
  std::string image;          // absolute path of the image file on the host
  std::string filesystem;     // "ext4" or "xfs": the folder under /sys/fs
  std::uint32_t address = 0;  // IPv4, network byte order
  std::string backing;        // path of the LUN's file, as the node's tgtd sees it
};

struct WatchedNode {
  std::string name;
  std::string power_file;  // there while the node is on: its namespaces and loop devices
};

struct WatchSpec {
  std::vector<WatchedPool> pools;
  std::vector<WatchedNode> nodes;
  Duration interval = std::chrono::milliseconds(2);
};

// The error is a sentence.
std::expected<WatchSpec, std::string> load_watch_spec(const std::string& file);

}  // namespace hapair::demo
