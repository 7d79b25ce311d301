// This node's looks at Corosync's quorum (agent/core/quorum_lease.h). One thread has everything of Corosync's that they
// need, for a Corosync that hangs keeps whoever asks it waiting for ever: the loop asks for a look and takes what came
// of it, under a lock that is never held across a call to Corosync. A look that cannot be completed is no look.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "agent/core/quorum_lease.h"
#include "agent/corosync/quorum_standing.h"
#include "ccm/base/time.h"

namespace hapair::agent {

struct QuorumWatchSettings {
  std::string group;  // of Corosync's process groups; each node has one of its own, named after it
  QuorumSides sides;
  std::uint64_t life = 0;  // of the agent: of two on one node, each knows its own messages
};

struct QuorumNews {
  std::optional<QuorumLook> look;  // since the last time
  std::uint64_t digest = 0;        // quorum_digest(); 0: not known yet, or no leases rest on it
  std::string problem;             // no_leases_on()
  bool connected = false;
  std::string trouble;  // why nothing is completed, or what is wrong all the same; empty: nothing
  std::string text;     // "quorate, 2 of 3 votes needed ..., in ring 1.8", of the newest look; empty: none yet
};

class QuorumWatch {
 public:
  // Whether this build has it (CMake leaves it out where one of Corosync's libraries is missing). Where not, there is
  // never anything new.
  static bool is_built();

  explicit QuorumWatch(const QuorumWatchSettings& settings);
  QuorumWatch(const QuorumWatch&) = delete;
  QuorumWatch& operator=(const QuorumWatch&) = delete;
  ~QuorumWatch();  // does not wait for a Corosync that does not answer

  void look();
  [[nodiscard]] int fd() const;  // readable where there is something new
  [[nodiscard]] QuorumNews take(Instant now);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this in a call
};

// Once, for whoever checks a configuration; waits for a Corosync that hangs for so long. The error is a sentence.
struct QuorumPreview {
  std::string problem;  // no_leases_on()
  std::string trouble;
  std::string text;
  Duration slack{};
};
std::expected<QuorumPreview, std::string> preview_quorum(const QuorumSides& sides, Duration patience);

}  // namespace hapair::agent
