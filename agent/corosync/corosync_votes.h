// One connection to votequorum of this node's Corosync (libvotequorum). Every call may wait for Corosync: see
// corosync_group.h.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "agent/corosync/quorum_standing.h"

namespace hapair::agent {

class CorosyncVotes {
 public:
  // Errors are sentences, and end the connection.
  static std::expected<std::unique_ptr<CorosyncVotes>, std::string> open();
  CorosyncVotes(const CorosyncVotes&) = delete;
  CorosyncVotes& operator=(const CorosyncVotes&) = delete;
  ~CorosyncVotes();

  // Of this node, now.
  std::expected<QuorumVotes, std::string> votes();
  // Takes what Corosync has told meanwhile.
  std::expected<void, std::string> dispatch();
  // How often quorum was lost since the connection was made, as far as dispatch() has taken it.
  [[nodiscard]] std::uint64_t losses() const { return losses_; }
  [[nodiscard]] int fd() const { return fd_; }

  void told(bool quorate);  // Corosync's callback

 private:
  CorosyncVotes() = default;

  std::uint64_t handle_ = 0;
  bool open_ = false;
  int fd_ = -1;  // libvotequorum's
  std::uint64_t losses_ = 0;
};

}  // namespace hapair::agent
