#include "ccm/daemon/interconnect.h"

#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>
#include <rdma/rdma_netlink.h>

#include <algorithm>
#include <expected>
#include <filesystem>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

constexpr const char* kInterfaces = "/sys/class/net";
constexpr std::chrono::seconds kPatience{120};
constexpr std::chrono::seconds kHurry{10};

template <auto Free>
struct FreedBy {
  void operator()(auto* what) const { Free(what); }
};
using Socket = std::unique_ptr<nl_sock, FreedBy<nl_socket_free>>;
using Link = std::unique_ptr<rtnl_link, FreedBy<rtnl_link_put>>;
using Address = std::unique_ptr<rtnl_addr, FreedBy<rtnl_addr_put>>;
using RawAddress = std::unique_ptr<nl_addr, FreedBy<nl_addr_put>>;
using Message = std::unique_ptr<nl_msg, FreedBy<nlmsg_free>>;

// 0, or libnl's number: made a sentence by nl_geterror.
using Status = int;

std::expected<Socket, Status> connected(int protocol) {
  Socket socket(nl_socket_alloc());
  if (!socket) return std::unexpected(-NLE_NOMEM);
  if (const Status status = nl_connect(socket.get(), protocol); status < 0) return std::unexpected(status);
  return socket;
}

Status set_up(nl_sock* socket, int index) {
  const Link which(rtnl_link_alloc());
  const Link change(rtnl_link_alloc());
  if (!which || !change) return -NLE_NOMEM;
  rtnl_link_set_ifindex(which.get(), index);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return rtnl_link_change(socket, which.get(), change.get(), 0);
}

Status add_address(nl_sock* socket, int index, const RailConfig& rail) {
  nl_addr* parsed = nullptr;
  if (const Status status = nl_addr_parse(rail.address.c_str(), AF_UNSPEC, &parsed); status < 0) return status;
  const RawAddress raw(parsed);
  nl_addr_set_prefixlen(raw.get(), rail.early_boot->prefix_length);
  const Address address(rtnl_addr_alloc());
  if (!address) return -NLE_NOMEM;
  rtnl_addr_set_ifindex(address.get(), index);
  if (const Status status = rtnl_addr_set_local(address.get(), raw.get()); status < 0) return status;
  // Usable at once: the address is this rail's alone, by configuration.
  if (nl_addr_get_family(raw.get()) == AF_INET6) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  const Status status = rtnl_addr_add(socket, address.get(), 0);
  return status == -NLE_EXIST ? 0 : status;
}

// RDMA_NLDEV_CMD_NEWLINK of the kernel's include/uapi/rdma/rdma_netlink.h, which loads the driver `kind` too.
Status make_rdma_device(const std::string& name, const std::string& kind, const std::string& interface) {
  const auto socket = connected(NETLINK_RDMA);
  if (!socket) return socket.error();
  const Message message(
      nlmsg_alloc_simple(RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK), NLM_F_REQUEST | NLM_F_ACK));
  if (!message) return -NLE_NOMEM;
  for (const auto& [attribute, text] :
       {std::pair(RDMA_NLDEV_ATTR_DEV_NAME, &name), std::pair(RDMA_NLDEV_ATTR_LINK_TYPE, &kind),
        std::pair(RDMA_NLDEV_ATTR_NDEV_NAME, &interface)}) {
    if (const Status status = nla_put_string(message.get(), attribute, text->c_str()); status < 0) return status;
  }
  if (const Status status = nl_send_auto(socket->get(), message.get()); status < 0) return status;
  const Status status = nl_wait_for_ack(socket->get());
  return status == -NLE_EXIST ? 0 : status;
}

std::string failure(const RailConfig& rail, const std::string& what, Status status, const std::string& advice) {
  return "rail " + rail.name.text() + ": " + what + ": " + nl_geterror(status) + ". " + advice;
}

// What went wrong.
std::vector<std::string> configure(const RailConfig& rail, const std::string& interface, int index) {
  const std::string address = rail.address + "/" + std::to_string(rail.early_boot->prefix_length);
  std::vector<std::string> failures;
  const auto socket = connected(NETLINK_ROUTE);
  if (const Status status = socket ? set_up(socket->get(), index) : socket.error(); status < 0) {
    failures.push_back(failure(rail, "interface " + interface + " cannot be brought up", status,
                               "The system's own network configuration may do it later"));
  }
  if (const Status status = socket ? add_address(socket->get(), index, rail) : socket.error(); status < 0) {
    failures.push_back(failure(rail, interface + " does not take address " + address, status,
                               "Look at ccm.rails[].address and early_boot in the configuration"));
  }
  std::string device;
  if (const std::string& kind = rail.early_boot->soft_rdma; !kind.empty()) {
    const std::string name = kind + "_" + interface;
    if (const Status status = make_rdma_device(name, kind, interface); status < 0) {
      failures.push_back(failure(rail, "no " + kind + " device on " + interface, status,
                                 "Is its kernel module in this image (early_boot.modules)?"));
    } else {
      device = ", device " + name;
    }
  }
  for (const std::string& text : failures) say(4, "ccmd: " + text);
  if (failures.empty()) say(5, "ccmd: rail " + rail.name.text() + ": " + interface + " is up with " + address + device);
  return failures;
}

bool same_address(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

bool is_meant(const std::filesystem::path& interface, std::string_view how, std::string_view what) {
  std::error_code ignored;
  if (how == "name") return interface.filename() == what;
  // Bonds and VLANs show their port's address too: only what has a device of its own is meant.
  const auto device = std::filesystem::canonical(interface / "device", ignored);
  if (ignored) return false;
  if (how == "mac") {
    const auto address = read_file(interface / "address", 64);
    return address && same_address(std::string_view(*address).substr(0, address->find('\n')), what);
  }
  if (how != "path") return false;
  constexpr std::string_view kBus = "pci-";
  if (const std::size_t bus = what.find(kBus); bus != std::string_view::npos) what.remove_prefix(bus + kBus.size());
  return std::ranges::find(device, std::filesystem::path(what)) != device.end();
}

}  // namespace

std::optional<std::string> find_interface(const std::string& sysfs, const std::string& interface) {
  const std::string_view word = interface;
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(sysfs, ignored)) {
    if (is_meant(entry.path(), word.substr(0, colon), word.substr(colon + 1))) return entry.path().filename();
  }
  return std::nullopt;
}

Interconnect::Interconnect(std::span<const RailConfig> rails) {
  for (const RailConfig& rail : rails) {
    if (rail.early_boot) waiting_.push_back(&rail);
  }
}

void Interconnect::bring_up() {
  std::erase_if(waiting_, [this](const RailConfig* rail) {
    const auto interface = find_interface(kInterfaces, rail->early_boot->interface);
    if (!interface) return false;
    const int index = static_cast<int>(::if_nametoindex(interface->c_str()));
    if (index == 0) return false;  // udev has just renamed it
    for (std::string& text : configure(*rail, *interface, index)) failures_.push_back(std::move(text));
    return true;
  });
}

std::vector<std::string> Interconnect::problems() const {
  std::vector<std::string> all = failures_;
  for (const RailConfig* rail : waiting_) {
    all.push_back(
        "rail " + rail->name.text() + ": its interface (" + rail->early_boot->interface +
        ") had not appeared in the initramfs: the partner could not be seen over it before the system's own network "
        "configuration. Is the driver in the image (early_boot.modules), and is early_boot.interface right?");
  }
  return all;
}

std::string Interconnect::waiting_names() const {
  std::string names;
  for (const RailConfig* rail : waiting_) names += (names.empty() ? "" : ", ") + rail->name.text();
  return names;
}

void Interconnect::wait_for_rest(const std::function<bool()>& in_initramfs) {
  using namespace std::chrono_literals;
  const SystemClock clock;
  const Instant begin = clock.now();
  while (!waiting_.empty()) {
    const Duration waited = clock.now() - begin;
    if (!in_initramfs()) {
      say(5, "ccmd: the initramfs is left; interfaces of " + waiting_names() +
                 " had not appeared. The system's own network configuration brings them up");
      return;
    }
    if (waited >= kPatience) {
      say(4, "ccmd: after " + std::to_string(kPatience.count()) + " s no interface for " + waiting_names() +
                 " has appeared. Is the driver in this image (early_boot.modules), and does early_boot.interface name "
                 "it as the kernel does before udev renames it? mac: or path: are safe");
      return;
    }
    std::this_thread::sleep_for(waited < kHurry ? 200ms : 1000ms);
    bring_up();
  }
}

}  // namespace hapair::ccm
