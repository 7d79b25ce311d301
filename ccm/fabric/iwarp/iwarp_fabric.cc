#include "ccm/fabric/iwarp/iwarp_fabric.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

using iwarp::Connection;

constexpr std::uint64_t kListener = 100;
constexpr std::uint64_t kOutbound = 101;
// A newcomer has this long to make its request; one that was let in and moves nothing gives way after it.
constexpr Duration kSilenceAllowed = std::chrono::seconds(2);
// A kernel's passive end may not look at the stream until something more arrives.
constexpr Duration kNudgeAfter = std::chrono::milliseconds(5);
// Where an answer is late; what is answered in time shows by itself that the link is up.
constexpr Duration kLinkCheckEvery = std::chrono::milliseconds(20);
constexpr Duration kLinkCheckWell = std::chrono::milliseconds(200);
// A partner reads far more often than this.
constexpr Duration kQuietAfter = std::chrono::seconds(1);

}  // namespace

void IwarpFabric::FreePages::operator()(std::byte* pages) const { std::free(pages); }

IwarpFabric::IwarpFabric(IwarpSettings settings)
    : settings_(std::move(settings)),
      pages_(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, 2 * kPageBytes))),
      outbound_(kPageBytes),
      inbound_{Inbound(kPageBytes), Inbound(kPageBytes), Inbound(kPageBytes), Inbound(kPageBytes)} {
  HAPAIR_CHECK(pages_ != nullptr, "two pages of memory");
  std::memset(pages_.get(), 0, 2 * kPageBytes);
  regions_ = {{{.stag = kStatusStag, .base = kStatusAddress, .memory = status_memory(), .remote_read = true},
               {.stag = kMailboxStag, .base = kMailboxAddress, .memory = mailbox_memory(), .remote_write = true}}};
}

IwarpFabric::~IwarpFabric() = default;

std::expected<void, std::string> IwarpFabric::open() {
  HAPAIR_CHECK(!service_, "a fabric is opened once");
  auto service = iwarp::open_service(settings_.address, settings_.partner_address, settings_.service_port, kListener);
  if (!service) return std::unexpected(service.error());
  service_.emplace(std::move(*service));
  return {};
}

// ---- own connection ----------------------------------------------------------------------------------------------

void IwarpFabric::connect(Instant now) {
  HAPAIR_CHECK(service_.has_value(), "it is open");
  own_.begin(now);
  nudged_ = false;
  link_checked_at_ = now;
  if (!service_->link.up()) return end_outbound(FabricError::link_down);
  if (outbound_.dial(service_->local, service_->partner, {ConnectService::early_channel, {}}, settings_.crc,
                     settings_.retry_timeout, now)) {
    outbound_.watch(service_->epoll, kOutbound);
  } else {
    end_outbound(outbound_.error());
  }
}

void IwarpFabric::drop(Instant /*now*/) {
  outbound_.close();
  own_.drop();
}

iwarp::RemoteBuffer IwarpFabric::remote(RemotePage page, std::size_t offset) const {
  const RemoteRegion& region = outbound_.answer().regions[page == RemotePage::status ? 0 : 1];
  return {region.key, region.address + offset};
}

bool IwarpFabric::post_read(Instant now, OperationId id, RemotePage page, std::size_t offset,
                            std::span<std::byte> into) {
  HAPAIR_CHECK(!into.empty() && offset + into.size() <= kPageBytes, "an operation lies within its page");
  if (!own_.room_for_operation() || !outbound_.stream().post_read(id, remote(page, offset), into)) return false;
  own_.post({id, now, true});
  outbound_.flush();
  outbound_.watch(service_->epoll, kOutbound);
  return true;
}

bool IwarpFabric::post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                             std::span<const std::byte> from) {
  HAPAIR_CHECK(!from.empty() && offset + from.size() <= kPageBytes, "an operation lies within its page");
  const iwarp::RemoteBuffer probe = remote(RemotePage::status, 0);
  if (!own_.room_for_operation() || !outbound_.stream().post_write(id, remote(page, offset), probe, from)) return false;
  own_.post({id, now, false});
  outbound_.flush();
  outbound_.watch(service_->epoll, kOutbound);
  return true;
}

void IwarpFabric::work_outbound(Instant now) {
  if (outbound_.phase() == Connection::Phase::idle) return;
  outbound_.work();
  if (own_.attempting() && outbound_.phase() == Connection::Phase::up) own_.established();
  outbound_.watch(service_->epoll, kOutbound);
  collect(now);
}

// What the stream has completed, and whether the connection still is.
void IwarpFabric::collect(Instant now) {
  const bool ended = outbound_.phase() == Connection::Phase::ended;
  while (own_.up()) {
    const auto done = outbound_.stream().next_event();
    if (!done || done->error != iwarp::OperationError::none) break;
    HAPAIR_CHECK(own_.outstanding() && own_.oldest().id == done->operation, "completions come in their order");
    own_.complete_oldest(now);
    nudged_ = false;
  }
  if (!ended) return;
  FabricError error = outbound_.error();
  if (own_.attempting() && outbound_.malformed()) error = FabricError::refused;
  if (!service_->link.up()) error = FabricError::link_down;
  end_outbound(error);
}

void IwarpFabric::check_times(Instant now) {
  if (own_.none()) return;
  const std::optional<Instant> since = own_.waiting_since();
  const bool late = since && now - *since >= kNudgeAfter;
  if (now - link_checked_at_ >= (late ? kLinkCheckEvery : kLinkCheckWell)) {
    link_checked_at_ = now;
    if (!service_->link.up()) return end_outbound(FabricError::link_down);
  }
  if (!since) return;
  if (now - *since >= settings_.retry_timeout) return end_outbound(FabricError::retry_exceeded);
  if (own_.up() && !nudged_ && late) {
    nudged_ = true;
    outbound_.stream().nudge(remote(RemotePage::mailbox, 0));
    outbound_.flush();
    outbound_.watch(service_->epoll, kOutbound);
  }
}

void IwarpFabric::end_outbound(FabricError why) {
  outbound_.close();
  own_.end(why);
}

// ---- the partner's connections -----------------------------------------------------------------------------------

void IwarpFabric::accept_all(Instant now) {
  for (int i = 0; i < 16; ++i) {
    auto newcomer = iwarp::accept_one(service_->listener, service_->partner);
    if (!newcomer) return;
    if (!newcomer->partner) {
      ++counters_.refused_address;
      continue;
    }
    Inbound* place = place_for_newcomer(now);
    if (place->connection.phase() != Connection::Phase::idle) ++counters_.refused_limit;
    close_inbound(*place);
    place->connection.take(std::move(newcomer->socket), settings_.crc, settings_.retry_timeout, now);
    place->active = now;
    place->moved = 0;
    place->connection.watch(service_->epoll, static_cast<std::uint64_t>(place - inbound_.data()));
  }
}

// A free place; else that of a connection which has moved nothing, the oldest first; else of one that has moved nothing
// for long, because a partner that restarts leaves such behind; else the youngest: whoever floods this port with
// connections that read takes the places of its own ones, never that of a partner which was there before.
IwarpFabric::Inbound* IwarpFabric::place_for_newcomer(Instant now) {
  const auto worth = [now](const Inbound& one) -> std::pair<int, Duration> {
    if (one.connection.phase() == Connection::Phase::idle) return {0, {}};
    if (one.moved == 0) return {1, one.active.time_since_epoch()};
    if (now - one.active >= kQuietAfter) return {2, one.active.time_since_epoch()};
    return {3, -one.connection.since().time_since_epoch()};
  };
  return &*std::ranges::min_element(inbound_, {}, worth);
}

void IwarpFabric::work_inbound(Inbound& inbound, Instant now) {
  Connection& connection = inbound.connection;
  connection.work();
  if (connection.phase() == Connection::Phase::requested) {
    if (connection.request().service == ConnectService::early_channel) {
      connection.accept({ConnectService::early_channel,
                         {{{kStatusAddress, kPageBytes, kStatusStag}, {kMailboxAddress, kPageBytes, kMailboxStag}}}},
                        regions_);
    } else {
      ++counters_.refused_malformed;
      connection.reject();
    }
  }
  const iwarp::StreamCounters& moved = connection.stream().counters();
  if (const std::uint64_t sum = moved.reads_served + moved.writes_placed; sum != inbound.moved) {
    inbound.moved = sum;
    inbound.active = now;
  }
  if (connection.phase() == Connection::Phase::ended) {
    if (connection.malformed()) ++counters_.refused_malformed;
    if (connection.stream().terminate_sent()) ++counters_.terminated;
    close_inbound(inbound);
    return;
  }
  connection.watch(service_->epoll, static_cast<std::uint64_t>(&inbound - inbound_.data()));
}

void IwarpFabric::close_inbound(Inbound& inbound) {
  inbound.connection.close();
  inbound.moved = 0;
}

// ---- the loop ----------------------------------------------------------------------------------------------------

void IwarpFabric::take_ready(Instant now) {
  std::array<epoll_event, kInbound + 2> ready{};
  const int count = ::epoll_wait(service_->epoll.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t number = ready.at(static_cast<std::size_t>(i)).data.u64;
    if (number == kListener) {
      accept_all(now);
    } else if (number == kOutbound) {
      work_outbound(now);
    } else {
      work_inbound(inbound_.at(number), now);
    }
  }
}

std::size_t IwarpFabric::poll(Instant now, std::span<FabricEvent> into) {
  // Once an instant: what comes later in the same turn leaves the descriptor readable.
  if (std::exchange(polled_at_, now) != now) take_ready(now);
  // A post may have met the end of the connection before epoll told of it.
  if (outbound_.phase() == Connection::Phase::ended) collect(now);
  check_times(now);
  for (Inbound& inbound : inbound_) {
    const bool waiting = inbound.connection.phase() == Connection::Phase::awaiting_request;
    if (!waiting || now - inbound.connection.since() < kSilenceAllowed) continue;
    ++counters_.refused_silent;
    close_inbound(inbound);
  }
  return own_.take(into);
}

}  // namespace hapair::ccm
