// In an initramfs nobody else configures the network: each rail that has early_boot gets its interface up, its address
// and, where the device is made in software, its RDMA device. By netlink, so that the image needs no tool for it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ccm/config/pair_config.h"

namespace hapair::ccm {

// The kernel's name of the interface that `interface` of early_boot means; nothing where there is none yet. `sysfs` is
// /sys/class/net.
std::optional<std::string> find_interface(const std::string& sysfs, const std::string& interface);

class Interconnect {
 public:
  explicit Interconnect(std::span<const RailConfig> rails);

  // Brings up what is there; what cannot be done is told and not tried again.
  void bring_up();
  // What is wrong so far, as sentences; a rail whose interface is not there is one of them.
  [[nodiscard]] std::vector<std::string> problems() const;
  // Waits for interfaces that appear later, two minutes at the most, and while `in_initramfs`: after that it is for the
  // system's own network configuration.
  void wait_for_rest(const std::function<bool()>& in_initramfs);

 private:
  [[nodiscard]] std::string waiting_names() const;

  std::vector<const RailConfig*> waiting_;  // of the caller's rails
  std::vector<std::string> failures_;
};

}  // namespace hapair::ccm
