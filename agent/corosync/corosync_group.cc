#include "agent/corosync/corosync_group.h"

#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <sys/uio.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace hapair::agent {
namespace {

std::unexpected<std::string> failed(const char* what, cs_error_t error) {
  return std::unexpected(std::string(what) + ": " + cs_strerror(error));
}

const CorosyncGroup* group_of(cpg_handle_t handle) {
  void* context = nullptr;
  return cpg_context_get(handle, &context) == CS_OK ? static_cast<const CorosyncGroup*>(context) : nullptr;
}

void on_message(cpg_handle_t handle, const cpg_name* /*name*/, std::uint32_t node_id, std::uint32_t pid, void* bytes,
                std::size_t size) {
  const CorosyncGroup* group = group_of(handle);
  if (group != nullptr) group->tell_message({node_id, pid}, std::span(static_cast<const std::byte*>(bytes), size));
}

void on_ring(cpg_handle_t handle, cpg_ring_id ring, std::uint32_t count, const std::uint32_t* nodes) {
  const CorosyncGroup* group = group_of(handle);
  if (group != nullptr) group->tell_ring({ring.nodeid, ring.seq}, std::span(nodes, count));
}

void on_members(cpg_handle_t handle, const cpg_name* /*name*/, const cpg_address* members, std::size_t count,
                const cpg_address* /*left*/, std::size_t /*left_count*/, const cpg_address* /*joined*/,
                std::size_t /*joined_count*/) {
  const CorosyncGroup* group = group_of(handle);
  if (group == nullptr) return;
  std::vector<FleetMember> now;
  for (const cpg_address& member : std::span(members, count)) now.push_back({member.nodeid, member.pid});
  group->tell_members(now);
}

}  // namespace

std::expected<std::unique_ptr<CorosyncGroup>, std::string> CorosyncGroup::join(const std::string& name, Events events) {
  std::unique_ptr<CorosyncGroup> group(new CorosyncGroup(std::move(events)));
  cpg_model_v1_data_t model{};
  model.cpg_deliver_fn = on_message;
  model.cpg_confchg_fn = on_members;
  model.cpg_totem_confchg_fn = on_ring;
  model.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF;
  cs_error_t error =
      cpg_model_initialize(&group->handle_, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&model), group.get());
  if (error != CS_OK) return failed("Corosync does not run on this node, or takes no clients", error);
  group->open_ = true;
  error = cpg_fd_get(group->handle_, &group->fd_);
  if (error != CS_OK) return failed("Corosync's process groups cannot be waited for", error);
  error = cpg_local_get(group->handle_, &group->self_.node_id);
  if (error != CS_OK) return failed("Corosync does not tell this node's number", error);
  group->self_.pid = static_cast<std::uint32_t>(::getpid());
  cpg_name its{};
  if (name.size() >= sizeof its.value) return failed("the group's name is too long", CS_ERR_NAME_TOO_LONG);
  its.length = static_cast<std::uint32_t>(name.copy(its.value, name.size()));
  error = cpg_join(group->handle_, &its);
  if (error != CS_OK) return failed("Corosync does not let this node into the group", error);
  return group;
}

// The group is left with it.
CorosyncGroup::~CorosyncGroup() {
  if (open_) cpg_finalize(handle_);
}

std::expected<void, std::string> CorosyncGroup::dispatch(int most) {
  for (int i = 0; i < most; ++i) {
    const cs_error_t error = cpg_dispatch(handle_, CS_DISPATCH_ONE_NONBLOCKING);
    if (error == CS_ERR_TRY_AGAIN) return {};  // nothing more
    if (error != CS_OK) return failed("Corosync has gone", error);
  }
  return {};
}

std::expected<bool, std::string> CorosyncGroup::send(std::span<const std::byte> message) {
  // libcpg takes what it only reads as writable.
  const iovec part{const_cast<std::byte*>(message.data()), message.size()};
  const cs_error_t error = cpg_mcast_joined(handle_, CPG_TYPE_AGREED, &part, 1);
  if (error == CS_OK) return true;
  if (error == CS_ERR_TRY_AGAIN) return false;
  return failed("Corosync takes no message", error);
}

}  // namespace hapair::agent
