#include "agent/corosync/corosync_votes.h"

#include <corosync/corotypes.h>
#include <corosync/votequorum.h>

namespace hapair::agent {
namespace {

std::unexpected<std::string> failed(const char* what, cs_error_t error) {
  return std::unexpected(std::string(what) + ": " + cs_strerror(error));
}

void on_quorum(votequorum_handle_t handle, std::uint64_t /*context*/, std::uint32_t quorate, std::uint32_t /*entries*/,
               votequorum_node_t* /*nodes*/) {
  void* self = nullptr;
  if (votequorum_context_get(handle, &self) != CS_OK || self == nullptr) return;
  static_cast<CorosyncVotes*>(self)->told(quorate != 0);
}

}  // namespace

std::expected<std::unique_ptr<CorosyncVotes>, std::string> CorosyncVotes::open() {
  std::unique_ptr<CorosyncVotes> votes(new CorosyncVotes());
  votequorum_callbacks_t callbacks{};
  callbacks.votequorum_quorum_notify_fn = on_quorum;
  cs_error_t error = votequorum_initialize(&votes->handle_, &callbacks);
  if (error != CS_OK) {
    return failed("Corosync has no votequorum (quorum.provider: corosync_votequorum in corosync.conf)", error);
  }
  votes->open_ = true;
  error = votequorum_context_set(votes->handle_, votes.get());
  if (error == CS_OK) error = votequorum_fd_get(votes->handle_, &votes->fd_);
  if (error == CS_OK) error = votequorum_trackstart(votes->handle_, 0, CS_TRACK_CHANGES);
  if (error != CS_OK) return failed("Corosync's quorum cannot be followed", error);
  return votes;
}

CorosyncVotes::~CorosyncVotes() {
  if (open_) votequorum_finalize(handle_);
}

void CorosyncVotes::told(bool quorate) {
  if (!quorate) ++losses_;
}

std::expected<QuorumVotes, std::string> CorosyncVotes::votes() {
  votequorum_info info{};
  const cs_error_t error = votequorum_getinfo(handle_, 0, &info);  // 0: of this node
  if (error != CS_OK) return failed("Corosync does not tell its quorum", error);
  const auto has = [&info](unsigned flag) { return (info.flags & flag) != 0; };
  return QuorumVotes{.quorate = has(VOTEQUORUM_INFO_QUORATE),
                     .two_node = has(VOTEQUORUM_INFO_TWONODE),
                     .auto_tie_breaker = has(VOTEQUORUM_INFO_AUTO_TIE_BREAKER),
                     .wait_for_all = has(VOTEQUORUM_INFO_WAIT_FOR_ALL),
                     .quorum = info.quorum,
                     .total = info.total_votes,
                     .device_votes = has(VOTEQUORUM_INFO_QDEVICE_REGISTERED) ? info.qdevice_votes : 0,
                     .device_votes_now = has(VOTEQUORUM_INFO_QDEVICE_ALIVE) && has(VOTEQUORUM_INFO_QDEVICE_CAST_VOTE)};
}

std::expected<void, std::string> CorosyncVotes::dispatch() {
  const cs_error_t error = votequorum_dispatch(handle_, CS_DISPATCH_ALL);
  if (error != CS_OK && error != CS_ERR_TRY_AGAIN) return failed("Corosync has gone", error);
  return {};
}

}  // namespace hapair::agent
