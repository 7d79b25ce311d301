#include "deploy/demo/watcher/node_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace hapair::demo {
namespace {

constexpr std::size_t kMaxPowerFileBytes = 65536;
constexpr Duration kSearchEvery = std::chrono::milliseconds(100);

ino_t inode_of(const std::string& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

std::string link_of(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : std::string();
}

struct FolderCloser {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// A look that fails must not pass for one that saw nothing: two owners could be there unseen.
[[noreturn]] void cannot_look(const std::string& at) {
  std::fprintf(stderr, "hapair-demo-watcher: cannot look at %s: %s\n", at.c_str(), std::strerror(errno));
  std::abort();
}

// Calls `each` with every name in `path` until it returns false.
void for_names(const std::string& path, auto&& each) {
  const std::unique_ptr<DIR, FolderCloser> folder(::opendir(path.c_str()));
  if (!folder) return;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.' && !each(std::string(entry->d_name))) return;
  }
}

}  // namespace

NodeView::NodeView(const WatchedNode& node, const std::vector<WatchedPool>& pools)
    : node_(node), pools_(pools), held_(pools.size()), disks_(pools.size()) {}

bool NodeView::holds_any(std::size_t pool) const {
  return std::ranges::any_of(held_[pool], [](bool held) { return held; });
}

void NodeView::open_address_socket(const std::string& netns) {
  const Fd own(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd theirs(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  addresses_.reset();
  if (!theirs.valid() && errno == ENOENT) return;  // the node went off again, and has no address
  if (!own.valid() || !theirs.valid() || ::setns(theirs.get(), CLONE_NEWNET) != 0) cannot_look(netns);
  addresses_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!addresses_.valid()) cannot_look(netns);
  if (::setns(own.get(), CLONE_NEWNET) != 0) std::abort();  // from here on this process would look at the wrong network
}

void NodeView::follow_power() {
  struct stat st{};
  if (::stat(node_.power_file.c_str(), &st) != 0) return;
  // A file system gives the number of a removed file to the next one: only with its time it names one power-on.
  const std::int64_t written_ns = std::int64_t{st.st_ctim.tv_sec} * 1'000'000'000 + st.st_ctim.tv_nsec;
  if (st.st_ino == power_inode_ && written_ns == power_written_ns_) return;
  const auto content = read_file(node_.power_file, kMaxPowerFileBytes);
  if (!content) return;
  const auto json = nlohmann::json::parse(*content, nullptr, false);
  if (!json.is_object()) return;
  power_inode_ = st.st_ino;
  power_written_ns_ = written_ns;
  const auto disks = json.value("disks", nlohmann::json::object());
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const std::string device = disks.value(pools_[i].name, "");
    disks_[i].superblock = "/sys/fs/" + pools_[i].filesystem + "/" + device.substr(device.rfind('/') + 1);
  }
  pid_namespace_ = inode_of("/proc/" + std::to_string(json.value("pid", 0)) + "/ns/pid");
  tgtd_ = 0;
  open_address_socket(json.value("netns", ""));
}

void NodeView::look_at_addresses() {
  for (auto& held : held_) held[static_cast<std::size_t>(Holding::address)] = false;
  if (!addresses_.valid()) return;
  struct {
    nlmsghdr head;
    ifaddrmsg body;
  } request{};
  request.head.nlmsg_len = sizeof(request);
  request.head.nlmsg_type = RTM_GETADDR;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.ifa_family = AF_INET;
  const std::string what = "the addresses of " + node_.name;
  if (::send(addresses_.get(), &request, sizeof(request), 0) < 0) cannot_look(what);
  alignas(nlmsghdr) std::array<char, 16384> answer{};
  while (true) {
    const ssize_t received = ::recv(addresses_.get(), answer.data(), answer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) cannot_look(what);
    std::size_t left = static_cast<std::size_t>(received);
    std::size_t at = 0;
    while (left >= sizeof(nlmsghdr)) {
      nlmsghdr head{};
      std::memcpy(&head, answer.data() + at, sizeof(head));
      if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > left || head.nlmsg_type == NLMSG_ERROR) {
        errno = EBADMSG;
        cannot_look(what);
      }
      if (head.nlmsg_type == NLMSG_DONE) return;
      std::size_t option = at + NLMSG_LENGTH(sizeof(ifaddrmsg));
      while (option + sizeof(rtattr) <= at + head.nlmsg_len) {
        rtattr attribute{};
        std::memcpy(&attribute, answer.data() + option, sizeof(attribute));
        if (attribute.rta_len < sizeof(attribute)) break;
        std::uint32_t address = 0;
        if (attribute.rta_type == IFA_LOCAL && attribute.rta_len == RTA_LENGTH(sizeof(address))) {
          std::memcpy(&address, answer.data() + option + RTA_LENGTH(0), sizeof(address));
          for (std::size_t i = 0; i < pools_.size(); ++i) {
            if (pools_[i].address == address) held_[i][static_cast<std::size_t>(Holding::address)] = true;
          }
        }
        option += RTA_ALIGN(std::size_t{attribute.rta_len});
      }
      const std::size_t step = NLMSG_ALIGN(std::size_t{head.nlmsg_len});
      if (step > left) break;
      at += step;
      left -= step;
    }
  }
}

pid_t NodeView::find_tgtd() const {
  pid_t found = 0;
  for_names("/proc", [&](const std::string& name) {
    if (name[0] < '0' || name[0] > '9') return true;
    const std::string process = "/proc/" + name;
    if (inode_of(process + "/ns/pid") != pid_namespace_ || !link_of(process + "/exe").ends_with("/tgtd")) return true;
    found = static_cast<pid_t>(std::atoi(name.c_str()));
    return false;
  });
  return found;
}

void NodeView::look_at_luns(Instant now) {
  for (auto& held : held_) held[static_cast<std::size_t>(Holding::lun)] = false;
  if (pid_namespace_ == 0) return;
  if (tgtd_ == 0 && now >= next_search_) {
    tgtd_ = find_tgtd();
    next_search_ = now + kSearchEvery;
  }
  if (tgtd_ == 0) return;
  const std::string process = "/proc/" + std::to_string(tgtd_);
  if (inode_of(process + "/ns/pid") != pid_namespace_) {
    tgtd_ = 0;
    return;
  }
  for_names(process + "/fd", [&](const std::string& name) {
    const std::string file = link_of(process + "/fd/" + name);
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      if (file == pools_[i].backing) held_[i][static_cast<std::size_t>(Holding::lun)] = true;
    }
    return true;
  });
}

void NodeView::look(Instant now, bool with_luns) {
  follow_power();
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    held_[i][static_cast<std::size_t>(Holding::mount)] =
        power_inode_ != 0 && ::access(disks_[i].superblock.c_str(), F_OK) == 0;
  }
  look_at_addresses();
  if (with_luns) look_at_luns(now);
}

}  // namespace hapair::demo
