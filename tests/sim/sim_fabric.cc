#include "tests/sim/sim_fabric.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::sim {

using ccm::FabricError;
using ccm::kPageBytes;
using ccm::RemotePage;

SimFabric::~SimFabric() { network_->leave(side_, *this); }

std::expected<void, std::string> SimFabric::open() {
  HAPAIR_CHECK(!life_, "a fabric is opened once");
  life_ = network_->begin_life(side_, *this);
  return {};
}

void SimFabric::act(Instant now) {
  HAPAIR_CHECK(life_ && !dead_, "who is dead does nothing");
  HAPAIR_CHECK(!network_->node(side_).stopped, "who is stopped does nothing");
  HAPAIR_CHECK(now >= network_->now(), "time does not go back");
}

// ---- the interface -----------------------------------------------------------------------------------------------

void SimFabric::connect(Instant now) {
  act(now);
  own_.begin(now);
  forget();
  attempt_ = begin(now, kAttempt);
}

void SimFabric::drop(Instant now) {
  act(now);
  network_->advance(now);  // what was posted has left
  own_.drop();
  forget();
}

bool SimFabric::post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) {
  HAPAIR_CHECK(!into.empty() && offset + into.size() <= kPageBytes, "an operation lies within its page");
  return post(now, id, {{.read = true, .page = page, .offset = offset, .bytes = into.size()}, into, {}, {}});
}

bool SimFabric::post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                           std::span<const std::byte> from) {
  HAPAIR_CHECK(!from.empty() && offset + from.size() <= kPageBytes, "an operation lies within its page");
  return post(now, id,
              {{.page = page, .offset = offset, .bytes = from.size(), .data = {from.begin(), from.end()}}, {}, {}, {}});
}

bool SimFabric::post(Instant now, OperationId id, Flight flight) {
  act(now);
  if (!own_.room_for_operation()) return false;
  flight.operation.number = next_number_++;
  own_.post({id, now, flight.operation.read});
  flights_.push_back(std::move(flight));
  flights_.back().timers = begin(now, flights_.back().operation.number);
  return true;
}

std::size_t SimFabric::poll(Instant now, std::span<ccm::FabricEvent> into) {
  act(now);
  network_->advance(now);
  return own_.take(into);
}

// ---- the connection ----------------------------------------------------------------------------------------------

// What still comes is of another connection.
void SimFabric::forget() {
  connection_ = ++network_->last_connection_;
  partner_.reset();
  end(attempt_);
  for (const Flight& flight : flights_) end(flight.timers);
  flights_.clear();
  next_number_ = 0;
}

void SimFabric::end(FabricError why) {
  if (own_.none()) return;
  own_.end(why);
  forget();
}

SimNetwork::Key SimFabric::tell(Happening::Kind kind, Instant when, std::uint64_t number) {
  Happening own{.kind = kind, .sender = side_, .connection = connection_};
  own.operation.number = number;
  return network_->at(when, std::move(own));
}

// It leaves at its own time, behind what was to happen before.
SimFabric::Timers SimFabric::begin(Instant now, std::uint64_t number) {
  const auto again = tell(Happening::Kind::again, now, number);
  return {again, tell(Happening::Kind::expiry, now + network_->options_.retry_timeout, number)};
}

void SimFabric::end(const Timers& timers) {
  network_->coming_.erase(timers.again);
  network_->coming_.erase(timers.expiry);
}

SimFabric::Flight* SimFabric::find(std::uint64_t number) {
  const auto at = std::ranges::find(flights_, number, [](const Flight& one) { return one.operation.number; });
  return at == flights_.end() ? nullptr : &*at;
}

void SimFabric::send_again(std::uint64_t number) {
  Happening request{.sender = side_, .connection = connection_, .life = partner_};
  Timers* timers = &attempt_;
  if (number == kAttempt) {
    if (!own_.attempting()) return;
    if (!network_->node(side_).link_up) return end(FabricError::link_down);
    request.kind = Happening::Kind::connect_request;
  } else {
    Flight* flight = find(number);
    if (flight == nullptr || flight->answer) return;
    timers = &flight->timers;
    request.kind = Happening::Kind::request;
    request.operation = flight->operation;
  }
  network_->send(side_, std::move(request));
  timers->again = tell(Happening::Kind::again, network_->now_ + network_->options_.retry_every, number);
}

void SimFabric::expire(std::uint64_t number) {
  const Flight* flight = find(number);
  if (number == kAttempt ? own_.attempting() : flight != nullptr && !flight->answer) end(FabricError::retry_exceeded);
}

void SimFabric::connect_answered(const Happening& answer) {
  if (!own_.attempting()) return;
  if (answer.error != FabricError::none) return end(answer.error);
  partner_ = answer.life;
  end(attempt_);
  own_.established();
}

void SimFabric::answered(Happening& answer) {
  Flight* flight = find(answer.operation.number);
  if (flight == nullptr || flight->answer) return;
  // What is before it and unanswered comes first: the error is its own, the order is the connection's.
  if (answer.error != FabricError::none) {
    if (flight != &flights_.front()) return;
    return end(answer.error);
  }
  flight->answer = std::move(answer.operation.data);
  end(flight->timers);
  while (!flights_.empty() && flights_.front().answer) {
    std::ranges::copy(*flights_.front().answer, flights_.front().into.begin());
    flights_.pop_front();
    own_.complete_oldest(network_->now_);
  }
}

}  // namespace hapair::sim
