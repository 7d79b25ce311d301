#include "tests/sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"
#include "tests/sim/sim_fabric.h"

namespace hapair::sim {

using ccm::FabricError;
using ccm::RemotePage;

namespace {

constexpr std::size_t kRemembered = 4096;  // connections; of older ones nothing is on its way any more

}  // namespace

SimNetwork::SimNetwork(const SimOptions& options) : options_(options), random_(options.seed) {
  HAPAIR_CHECK(options_.least_delay <= options_.most_delay && options_.retry_every > Duration{}, "options make sense");
}

// ---- faults ------------------------------------------------------------------------------------------------------

void SimNetwork::kill(Side side) { end_life(side, true); }

void SimNetwork::power_off(Side side) {
  end_life(side, false);
  node(side).powered = false;
}

void SimNetwork::end_life(Side side, bool told) {
  Node& dead = node(side);
  dead.life.reset();
  dead.stopped = false;
  if (dead.fabric != nullptr) dead.fabric->die();
  dead.fabric = nullptr;
  SimFabric* partner = node(other(side)).fabric;
  if (!told || partner == nullptr) return;
  // The host tells it as reliably as it answers: again, until it was heard or the connection would have been given up.
  Happening end{.kind = Happening::Kind::ended, .sender = other(side), .connection = partner->connection_};
  for (Duration after{}; after <= options_.retry_timeout; after += options_.retry_every) {
    const Duration on_its_way = delay();
    if (loses()) continue;
    at(now_ + after + on_its_way, end);
    return;
  }
}

void SimNetwork::set_link(Side side, bool up) {
  node(side).link_up = up;
  const SimFabric* fabric = node(side).fabric;
  if (!up && fabric != nullptr) {
    at(now_, {.kind = Happening::Kind::link_down, .sender = side, .connection = fabric->connection_});
  }
}

void SimNetwork::heal() {
  for (Node& one : nodes_) {
    one.powered = one.link_up = true;
    one.cut_out = false;
  }
}

void SimNetwork::set_weather(Duration least_delay, Duration most_delay, unsigned loss_per_mille) {
  HAPAIR_CHECK(least_delay <= most_delay, "options make sense");
  options_.least_delay = least_delay;
  options_.most_delay = most_delay;
  options_.loss_per_mille = loss_per_mille;
}

// ---- what is on its way ------------------------------------------------------------------------------------------

void SimNetwork::advance(Instant now) {
  HAPAIR_CHECK(now >= now_, "time does not go back");
  while (!coming_.empty() && coming_.begin()->first.first <= now) {
    auto first = coming_.extract(coming_.begin());
    now_ = first.key().first;
    happen(first.mapped());
  }
  now_ = now;
}

std::optional<Instant> SimNetwork::next() const {
  if (coming_.empty()) return std::nullopt;
  return coming_.begin()->first.first;
}

std::optional<Instant> SimNetwork::next_for(Side side) {
  const bool answered = open(side) && open(other(side));
  for (const auto& [key, one] : coming_) {
    if (one.sender == side && (answered || one.kind != Happening::Kind::again)) return key.first;
  }
  return std::nullopt;
}

SimNetwork::Key SimNetwork::at(Instant when, Happening happening) {
  const Key key{when, ++order_};
  coming_.emplace(key, std::move(happening));
  return key;
}

bool SimNetwork::open(Side from) {
  const Node& there = node(other(from));
  return !node(from).cut_out && node(from).link_up && there.link_up && there.powered;
}

// Where nothing is left to chance none is drawn: however long all is quiet, what follows is the same.
Duration SimNetwork::delay() {
  if (options_.least_delay == options_.most_delay) return options_.least_delay;
  return random_.between(options_.least_delay, options_.most_delay);
}

std::optional<Duration> SimNetwork::carry(Side from) {
  const Duration on_its_way = delay();
  if (loses() || !open(from)) return std::nullopt;
  return on_its_way;
}

void SimNetwork::send(Side from, Happening happening) {
  const Duration on_its_way = delay();
  const bool lost = loses();
  if (lost || node(from).cut_out || !node(from).link_up || !node(other(from)).link_up) return;
  Instant& last = last_arrival_[{happening.connection, from}];
  last = std::max(last, now_ + on_its_way);
  at(last, std::move(happening));
  if (last_arrival_.size() > kRemembered) last_arrival_.erase(last_arrival_.begin());
}

void SimNetwork::happen(Happening& one) {
  using Kind = Happening::Kind;
  if (one.kind == Kind::connect_request) return connect_arrives(one);
  if (one.kind == Kind::request) return request_arrives(one);
  // The rest is for the sender, where it still wants to hear of this connection.
  SimFabric* fabric = node(one.sender).fabric;
  if (fabric == nullptr || fabric->connection_ != one.connection) return;
  if (one.kind == Kind::connect_answer) return fabric->connect_answered(one);
  if (one.kind == Kind::answer) return fabric->answered(one);
  if (one.kind == Kind::again) return fabric->send_again(one.operation.number);
  if (one.kind == Kind::expiry) return fabric->expire(one.operation.number);
  if (one.kind == Kind::link_down) return fabric->end(FabricError::link_down);
  // Of a partner's death that a cut keeps back, only a request that goes there tells.
  const Node& partner = node(other(one.sender));
  if (partner.link_up && !partner.cut_out && partner.powered && fabric->own_.up())
    fabric->end(FabricError::disconnected);
}

void SimNetwork::connect_arrives(Happening& request) {
  const Side there = other(request.sender);
  if (!node(there).powered) return;
  const auto& life = node(there).life;
  if (life && !answers(there)) return;
  send(there, {.kind = Happening::Kind::connect_answer,
               .sender = request.sender,
               .connection = request.connection,
               .life = life,
               .error = life ? FabricError::none : FabricError::not_listening});
}

void SimNetwork::request_arrives(Happening& request) {
  const Side there = other(request.sender);
  if (!answers(there)) return;
  Operation& operation = request.operation;
  Happening answer{.kind = Happening::Kind::answer,
                   .sender = request.sender,
                   .connection = request.connection,
                   .operation = {.number = operation.number}};
  std::uint64_t& expected = expected_[request.connection];
  if (node(there).life != request.life) {
    answer.error = FabricError::disconnected;
  } else if (operation.read != (operation.page == RemotePage::status)) {
    answer.error = FabricError::remote_access;
  } else if (operation.number > expected) {
    return;  // one before it was lost: it comes again, and this one behind it
  } else if (operation.read) {
    const auto from = request.life->status.begin() + static_cast<std::ptrdiff_t>(operation.offset);
    answer.operation.data.assign(from, from + static_cast<std::ptrdiff_t>(operation.bytes));
  } else if (operation.number == expected) {
    std::ranges::copy(operation.data, request.life->mailbox.begin() + static_cast<std::ptrdiff_t>(operation.offset));
  }
  if (operation.number == expected) ++expected;
  if (expected_.size() > kRemembered) expected_.erase(expected_.begin());
  send(there, std::move(answer));
}

// ---- for SimFabric -----------------------------------------------------------------------------------------------

std::shared_ptr<SimNetwork::Life> SimNetwork::begin_life(Side side, SimFabric& fabric) {
  Node& mine = node(side);
  HAPAIR_CHECK(!mine.life && mine.powered, "one CCM of a node at a time, and only where there is power");
  mine.life = std::make_shared<Life>();
  mine.fabric = &fabric;
  mine.stopped = false;
  return mine.life;
}

void SimNetwork::leave(Side side, const SimFabric& fabric) {
  if (node(side).fabric == &fabric) kill(side);
}

}  // namespace hapair::sim
