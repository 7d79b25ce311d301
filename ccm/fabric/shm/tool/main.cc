// hapair-shm-port: stands for a node's network port and its machine's power on fabric shm (port_file.h).
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string_view>

#include "ccm/fabric/shm/port_file.h"

namespace {

constexpr const char* kUsage =
    "usage: hapair-shm-port hold FILE   create the port, power the machine on, link up, until this process is killed\n"
    "       hapair-shm-port up FILE     the link is up\n"
    "       hapair-shm-port down FILE   the link is cut\n"
    "       hapair-shm-port show FILE   print link and power\n"
    "exit status: 0 done, 1 failed, 2 usage\n";

int hold(hapair::ccm::PortFile& port) {
  if (auto held = port.hold(); !held) {
    std::fprintf(stderr, "hapair-shm-port: %s\n", held.error().c_str());
    return 1;
  }
  port.set_link(true);
  std::puts("held");
  std::fflush(stdout);
  while (true) ::pause();  // the default action of SIGTERM ends it, and the kernel lets the lock go
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc == 3 ? argv[1] : "";
  if (argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (command != "hold" && command != "up" && command != "down" && command != "show") {
    std::fputs(kUsage, stderr);
    return 2;
  }
  auto port = hapair::ccm::PortFile::open(argv[2], command == "hold");
  if (!port) {
    std::fprintf(stderr, "hapair-shm-port: %s\n", port.error().c_str());
    return 1;
  }
  if (command == "hold") return hold(*port);
  if (command == "show") {
    std::printf("link %s, power %s\n", port->link_up() ? "up" : "down", port->held() ? "on" : "off");
    return 0;
  }
  port->set_link(command == "up");
  return 0;
}
