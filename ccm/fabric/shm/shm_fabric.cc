#include "ccm/fabric/shm/shm_fabric.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/fabric/shm/file_lock.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

std::string shm_path(const ShmSettings& settings, const NodeName& node, const char* suffix) {
  return settings.dir + "/" + node.text() + suffix;
}

ShmFabric::ShmFabric(ShmSettings settings)
    : settings_(std::move(settings)),
      path_(shm_path(settings_, settings_.node, ".port"), shm_path(settings_, settings_.partner, ".port")) {}

std::expected<void, std::string> ShmFabric::open() {
  HAPAIR_CHECK(!own_lock_.valid(), "a fabric is opened once");
  if (::mkdir(settings_.dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return std::unexpected(errno_text("shm_dir " + settings_.dir + " cannot be made"));
  }
  const std::string lock_path = shm_path(settings_, settings_.node, ".lock");
  Fd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) return std::unexpected(errno_text(lock_path));
  if (!lock_whole(lock)) {
    if (errno != EAGAIN && errno != EACCES) return std::unexpected(errno_text(lock_path));
    return std::unexpected("another ccmd of node " + settings_.node.text() + " of pair " + settings_.pair.text() +
                           " exposes its pages in " + settings_.dir +
                           "; it was not touched. Give each node its own name, or stop the other one first");
  }
  own_lock_ = std::move(lock);
  auto mailbox = ExposedPage::make(shm_path(settings_, settings_.node, ".mailbox"), false);
  if (!mailbox) return std::unexpected(mailbox.error());
  mailbox_ = std::move(*mailbox);
  auto status = ExposedPage::make(shm_path(settings_, settings_.node, ".status"), true);
  if (!status) return std::unexpected(status.error());
  status_ = std::move(*status);
  return {};
}

void ShmFabric::connect(Instant now) {
  HAPAIR_CHECK(own_lock_.valid() && link_ == Link::none, "one attempt or connection at a time, after open()");
  link_ = Link::attempt;
  attempt_since_ = now;
}

void ShmFabric::drop(Instant /*now*/) {
  // What the caller has not polled yet is about a connection that it no longer wants: an unheard "connected" becomes
  // the answer that its attempt ended, an unheard "lost" is no news.
  const std::size_t waiting = events_.size();
  bool owes_answer = link_ == Link::attempt;
  for (std::size_t i = 0; i < waiting; ++i) {
    const FabricEvent event = events_.front();
    events_.pop();
    if (event.kind == FabricEvent::Kind::connected) {
      owes_answer = true;
    } else if (event.kind != FabricEvent::Kind::lost) {
      events_.push(event);
    }
  }
  while (!operations_.empty()) complete(FabricError::disconnected);
  if (owes_answer) events_.push({FabricEvent::Kind::not_connected, {}, FabricError::disconnected});
  partner_.reset();
  link_ = Link::none;
}

bool ShmFabric::post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) {
  HAPAIR_CHECK(!into.empty() && offset + into.size() <= kPageBytes, "an operation lies within its page");
  return post({id, now, page, offset, into, {}});
}

bool ShmFabric::post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                           std::span<const std::byte> from) {
  HAPAIR_CHECK(!from.empty() && offset + from.size() <= kPageBytes, "an operation lies within its page");
  return post({id, now, page, offset, {}, from});
}

bool ShmFabric::post(const Operation& operation) {
  // Room for every completion, and for one event of the connection.
  if (link_ != Link::up || operations_.size() + events_.size() >= kQueueDepth) return false;
  operations_.push(operation);
  return true;
}

std::size_t ShmFabric::poll(Instant now, std::span<FabricEvent> into) {
  if (events_.empty()) advance(now);
  std::size_t count = 0;
  while (count < into.size() && !events_.empty()) {
    into[count++] = events_.front();
    events_.pop();
  }
  return count;
}

void ShmFabric::advance(Instant now) {
  switch (link_) {
    case Link::none:
      break;
    case Link::attempt:
      advance_attempt(now);
      break;
    case Link::up:
      advance_operations(now);
      break;
  }
}

void ShmFabric::advance_attempt(Instant now) {
  const auto fail = [&](FabricError error) {
    link_ = Link::none;
    events_.push({FabricEvent::Kind::not_connected, {}, error});
  };
  switch (path_.look()) {
    case Path::own_link_down:
      return fail(FabricError::link_down);
    case Path::no_answer:
      if (now - attempt_since_ >= settings_.retry_timeout) fail(FabricError::retry_exceeded);
      return;
    case Path::open:
      break;
  }
  auto memory = PartnerMemory::attach(shm_path(settings_, settings_.partner, ".status"),
                                      shm_path(settings_, settings_.partner, ".mailbox"));
  if (!memory) return fail(memory.error());
  partner_ = std::move(*memory);
  link_ = Link::up;
  events_.push({FabricEvent::Kind::connected, {}, FabricError::none});
}

void ShmFabric::advance_operations(Instant now) {
  switch (path_.look()) {
    case Path::own_link_down:
      return end_connection(FabricError::link_down, FabricError::link_down);
    case Path::no_answer:
      if (!operations_.empty() && now - operations_.front().posted >= settings_.retry_timeout) {
        end_connection(FabricError::retry_exceeded, FabricError::retry_exceeded);
      }
      return;
    case Path::open:
      break;
  }
  if (!partner_->alive()) return end_connection(FabricError::remote_access, FabricError::disconnected);
  while (!operations_.empty()) {
    const Instant posted = operations_.front().posted;
    const FabricError error = perform(operations_.front());
    if (error != FabricError::none) return end_connection(error, FabricError::disconnected);
    last_round_trip_ = std::max(now - posted, Duration(1));
    complete(FabricError::none);
  }
}

FabricError ShmFabric::perform(const Operation& operation) {
  const bool allowed = operation.reads() == (operation.page == RemotePage::status);
  if (!allowed) return FabricError::remote_access;
  if (operation.reads()) {
    std::memcpy(operation.into.data(), partner_->status().data() + operation.offset, operation.into.size());
  } else {
    std::memcpy(partner_->mailbox().data() + operation.offset, operation.from.data(), operation.from.size());
  }
  return FabricError::none;
}

void ShmFabric::complete(FabricError error) {
  const Operation& operation = operations_.front();
  events_.push({operation.reads() ? FabricEvent::Kind::read_done : FabricEvent::Kind::write_done, operation.id, error});
  operations_.pop();
}

// The operation that met the error tells it; those behind it are flushed.
void ShmFabric::end_connection(FabricError first_operation, FabricError why) {
  if (!operations_.empty()) complete(first_operation);
  while (!operations_.empty()) complete(FabricError::disconnected);
  events_.push({FabricEvent::Kind::lost, {}, why});
  partner_.reset();
  link_ = Link::none;
}

}  // namespace hapair::ccm
