// The first link of a lab machine and its RDMA device, as its administrator would set them.
#pragma once

#include <cstdlib>
#include <string>

namespace hapair::ccm {

inline bool do_command(const std::string& command) {
  return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

// Up: returns once the RDMA device has it too.
inline bool set_link(bool up) {
  return do_command(up ? "/usr/bin/ip link set eth0 up && "
                         "until grep -q ACTIVE /sys/class/infiniband/*0/ports/1/state; do sleep 0.02; done"
                       : "/usr/bin/ip link set eth0 down");
}

// The driver keeps the command waiting until nobody uses the device: so it is left to itself.
inline bool begin_to_remove_device(const std::string& fabric) {
  return do_command("rdma link delete " + fabric + "0 &");
}
// True until the driver has let it go, too.
inline bool device_is_there(const std::string& fabric) {
  return do_command("rdma link show " + fabric + "0/1 >/dev/null 2>&1 || pidof rdma >/dev/null");
}
inline bool add_device(const std::string& fabric) {
  return do_command("rdma link add " + fabric + "0 type " + fabric +
                    " netdev eth0 && until grep -q ACTIVE /sys/class/infiniband/" + fabric +
                    "0/ports/1/state; do sleep 0.02; done");
}
// Waits for it: whoever has it open is another process.
inline bool remove_device(const std::string& fabric) { return do_command("rdma link delete " + fabric + "0"); }

}  // namespace hapair::ccm
