// Whether the local end of a rail has a link at all.
#pragma once

#include <string>

#include "ccm/base/fd.h"
#include "ccm/fabric/ip/endpoint.h"

namespace hapair::ccm {

// The interface that has an address, and whether it has a link.
class LocalLink {
 public:
  explicit LocalLink(const Endpoint& local);
  // False: no interface has the address, or the one that has it is down or without carrier. Cheap while it is found.
  [[nodiscard]] bool up();

 private:
  void look_for_interface();

  Endpoint local_;
  Fd probe_;
  std::string interface_;
};

}  // namespace hapair::ccm
