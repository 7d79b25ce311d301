// The first link of a lab machine, as its administrator would set it.
#pragma once

#include <cstdlib>

namespace hapair::ccm {

// Up: returns once the RDMA device has it too.
inline bool set_link(bool up) {
  const char* const command = up ? "/usr/bin/ip link set eth0 up && "
                                   "until grep -q ACTIVE /sys/class/infiniband/*0/ports/1/state; do sleep 0.02; done"
                                 : "/usr/bin/ip link set eth0 down";
  return std::system(command) == 0;  // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

}  // namespace hapair::ccm
