#include "deploy/demo/init/root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "ccm/base/fd.h"

namespace hapair::demo {
namespace {

using Outcome = std::expected<void, std::string>;

Outcome mount_at(const std::string& source, const std::string& target, const char* type, unsigned long flags,
                 const char* options) {
  if (::mount(source.c_str(), target.c_str(), type, flags, options) != 0) {
    return std::unexpected(errno_text("mounting " + source + " at " + target));
  }
  return {};
}

Outcome make_folder(const std::string& path, mode_t mode = 0755) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return std::unexpected(errno_text("making " + path));
  if (::chmod(path.c_str(), mode) != 0) return std::unexpected(errno_text("making " + path));
  return {};
}

Outcome make_file(const std::string& path, const std::string& content) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid() || ::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return std::unexpected(errno_text("writing " + path));
  }
  return {};
}

// The first error of several steps ends them.
class Steps {
 public:
  Steps& then(auto&& step) {
    if (outcome_) outcome_ = step();
    return *this;
  }
  Steps& folder(const std::string& path, mode_t mode = 0755) {
    return then([&] { return make_folder(path, mode); });
  }
  Steps& mount(const std::string& source, const std::string& target, const char* type, unsigned long flags = 0,
               const char* options = nullptr) {
    return then([&] { return mount_at(source, target, type, flags, options); });
  }
  Steps& bind(const std::string& source, const std::string& target) { return mount(source, target, nullptr, MS_BIND); }
  [[nodiscard]] Outcome outcome() const { return outcome_; }

 private:
  Outcome outcome_;
};

// Debian's merged /usr has links here; an older tree has folders.
Outcome add_top_level(const std::string& root, const std::string& name) {
  struct stat st{};
  const std::string source = "/" + name;
  if (::lstat(source.c_str(), &st) != 0) return {};
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> target{};
    const ssize_t n = ::readlink(source.c_str(), target.data(), target.size() - 1);
    if (n <= 0 || ::symlink(target.data(), (root + source).c_str()) != 0) {
      return std::unexpected(errno_text("copying the link " + source));
    }
    return {};
  }
  return Steps().folder(root + source).bind(source, root + source).outcome();
}

Outcome enter_namespaces(const NodeSpec& spec) {
  const Fd net(::open(spec.netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!net.valid() || ::setns(net.get(), CLONE_NEWNET) != 0) {
    return std::unexpected(errno_text("entering the network namespace " + spec.netns));
  }
  if (::unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0) {
    return std::unexpected(errno_text("making mount, UTS and IPC namespaces"));
  }
  if (::sethostname(spec.node.c_str(), spec.node.size()) != 0) return std::unexpected(errno_text("naming the host"));
  return mount_at("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
}

Outcome put_root_together(const NodeSpec& spec) {
  const std::string& root = spec.root;
  Steps steps;
  steps.mount("root", root, "tmpfs", 0, "mode=755");
  for (const char* name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    steps.then([&] { return add_top_level(root, name); });
  }
  steps.folder(root + "/usr")
      .bind("/usr", root + "/usr")
      .mount("none", root + "/usr", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY)
      .bind(spec.programs, root + "/usr/local/sbin");
  steps.folder(root + "/etc").bind(spec.etc, root + "/etc").folder(root + "/var").bind(spec.var, root + "/var");
  steps.folder(root + "/dev").bind("/dev", root + "/dev").mount("shm", root + "/dev/shm", "tmpfs", 0, "mode=1777");
  steps.folder(root + "/dev/shm/hapair").bind(spec.shm, root + "/dev/shm/hapair");
  steps.mount("devpts", root + "/dev/pts", "devpts", 0, "ptmxmode=0666,mode=620");
  steps.folder(root + "/proc").mount("proc", root + "/proc", "proc");
  steps.folder(root + "/sys").mount("sysfs", root + "/sys", "sysfs");
  steps.folder(root + "/tmp").mount("tmp", root + "/tmp", "tmpfs", 0, "mode=1777");
  steps.folder(root + "/root", 0700).folder(root + "/srv").folder(root + "/mnt");
  steps.folder(root + "/run").mount("run", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
  for (const char* name : {"lock", "disks", "init", "resource-agents"}) steps.folder(root + "/run/" + name);
  steps.then([&] { return make_file(root + "/run/power.sock", ""); }).bind(spec.power_socket, root + "/run/power.sock");
  return steps.outcome();
}

Outcome move_into(const std::string& root) {
  if (::chdir(root.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
      ::chdir("/") != 0) {
    return std::unexpected(errno_text("changing the root to " + root));
  }
  return {};
}

Outcome name_disk(const std::string& name, const std::string& device) {
  if (::symlink(device.c_str(), ("/run/disks/" + name).c_str()) != 0) {
    return std::unexpected(errno_text("naming the disk " + name));
  }
  return {};
}

}  // namespace

Outcome enter_machine(const NodeSpec& spec) {
  auto steps = Steps();
  steps.then([&] { return enter_namespaces(spec); }).then([&] { return put_root_together(spec); }).then([&] {
    return move_into(spec.root);
  });
  for (const auto& disk : spec.disks) steps.then([&disk] { return name_disk(disk.first, disk.second); });
  // The kernel's boot id is the host's; this machine draws its own each time it is powered on.
  steps.then([&]() -> Outcome {
    const auto id = read_file("/proc/sys/kernel/random/uuid", 64);
    if (!id) return std::unexpected(id.error());
    return make_file("/run/boot-id", *id);
  });
  return steps.outcome();
}

}  // namespace hapair::demo
