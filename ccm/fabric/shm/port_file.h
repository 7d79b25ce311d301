// The port file of a node on fabric shm: what stands for its network port and for its machine's power.
//
//   DIR/NODE.port, 64 bytes, mapped by both nodes, little-endian
//      0  magic     u64  "HAPPORT1"
//      8  link_up   u32  0: the link is cut; anything else: it is up
//     12  zero
//
// Link: a node's port without a file is up. A cut of either port cuts the path, in both directions.
// Power: whoever stands for the machine (the PID 1 of a namespace node, `hapair-shm-port hold`) keeps an OFD write lock
// (F_OFD_SETLK, F_WRLCK, the whole file) on it as long as the machine is on; the kernel drops the lock when that
// process dies, however it dies. A POSIX record lock (fcntl F_SETLK, Python's fcntl.lockf) is seen as well; flock(2) is
// not. A port file that exists and that nobody has locked is a machine without power: nothing answers there. Without a
// port file the machine counts as on, and only the CCM's own lock tells whether it runs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

#include "ccm/base/fd.h"

namespace hapair::ccm {

inline constexpr std::size_t kPortFileBytes = 64;
inline constexpr std::uint64_t kPortMagic = 0x3154524f50504148;  // "HAPPORT1"

struct PortFileLayout {
  std::uint64_t magic;
  std::uint32_t link_up;
  std::uint32_t zero;
};
static_assert(sizeof(PortFileLayout) <= kPortFileBytes);
static_assert(offsetof(PortFileLayout, link_up) == 8);

// A port as the fabric sees it. The file may come, go and be replaced at any time.
class PortView {
 public:
  explicit PortView(std::string path) : path_(std::move(path)) {}

  // Looks at the file anew; the answers below are of that look.
  void refresh();
  [[nodiscard]] bool link_up() const { return link_up_; }
  [[nodiscard]] bool powered() const { return powered_; }

 private:
  bool map_anew();

  std::string path_;
  Fd fd_;
  Mapping mapping_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool link_up_ = true;
  bool powered_ = true;
};

// The path between the two nodes, as their ports tell it.
class PortPath {
 public:
  enum class State : std::uint8_t { open, own_link_down, no_answer };
  PortPath(std::string own, std::string partner) : own_(std::move(own)), partner_(std::move(partner)) {}
  State look();

 private:
  PortView own_;
  PortView partner_;
};

// A port that this process holds or sets.
class PortFile {
 public:
  // Creates the file where it is missing (link up) and maps it.
  static std::expected<PortFile, std::string> open(const std::string& path, bool create);
  // Powers the machine on for the life of this object; the error says that another process holds it.
  std::expected<void, std::string> hold();
  void set_link(bool up);
  [[nodiscard]] bool link_up() const;
  [[nodiscard]] bool held() const;  // by any process but this one

 private:
  std::string path_;
  Fd fd_;
  Mapping mapping_;
};

}  // namespace hapair::ccm
