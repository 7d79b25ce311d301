// Where one of Corosync's libraries was not there when this was built.
#include "agent/corosync/quorum_watch.h"

namespace hapair::agent {

struct QuorumWatch::Shared {};

bool QuorumWatch::is_built() { return false; }
QuorumWatch::QuorumWatch(const QuorumWatchSettings& /*settings*/) {}
QuorumWatch::~QuorumWatch() = default;
void QuorumWatch::look() {}
int QuorumWatch::fd() const { return -1; }
QuorumNews QuorumWatch::take(Instant /*now*/) { return {}; }

std::expected<QuorumPreview, std::string> preview_quorum(const QuorumSides& /*sides*/, Duration /*patience*/) {
  return std::unexpected("this build of hapair has none of Corosync's libraries");
}

}  // namespace hapair::agent
