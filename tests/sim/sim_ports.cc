#include "tests/sim/sim_ports.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::sim {
namespace {

using ccm::PortCommand;
using ccm::PortNews;
using ccm::PortRef;
using Kind = PortCommand::Kind;

constexpr Duration kLeastCarry = std::chrono::microseconds(20);
constexpr Duration kMostCarry = std::chrono::microseconds(500);
constexpr Duration kAgain = std::chrono::milliseconds(3);
constexpr Duration kGiveUp = std::chrono::milliseconds(20);
constexpr Duration kConnectTimeout = std::chrono::milliseconds(500);  // of a node that is there and does not answer

}  // namespace

// ---- time --------------------------------------------------------------------------------------------------------

void SimPorts::resume(Side side) {
  stopped(side) = false;
  for (Happening& held : std::exchange(held_.at(static_cast<std::size_t>(side)), {})) {
    coming_.emplace(now_, std::move(held));
  }
}

void SimPorts::advance(Instant now) {
  HAPAIR_CHECK(now >= now_, "time does not go back");
  while (!coming_.empty() && coming_.begin()->first <= now) {
    auto first = coming_.extract(coming_.begin());
    now_ = std::max(now_, first.key());
    Happening& one = first.mapped();
    if (one.by && stopped(*one.by)) {
      held_.at(static_cast<std::size_t>(*one.by)).push_back(std::move(one));
    } else {
      one.run();
    }
  }
  now_ = now;
}

std::optional<Instant> SimPorts::next() const {
  if (coming_.empty()) return std::nullopt;
  return coming_.begin()->first;
}

void SimPorts::after(Duration time, std::optional<Side> by, std::function<void()> run) {
  coming_.emplace(now_ + time, Happening{by, std::move(run)});
}

void SimPorts::for_end(SimPortEnd& end, Duration time, std::optional<Side> by, std::function<void(SimPortEnd&)> run) {
  after(time, by, [this, side = end.side_, life = end.life_, run = std::move(run)] {
    SimPortEnd* const there = this->end(side);
    if (there != nullptr && there->life_ == life) run(*there);
  });
}

Duration SimPorts::carry_time() { return random_.between(kLeastCarry, kMostCarry); }

// ---- between the nodes -------------------------------------------------------------------------------------------

void SimPorts::connect(SimPortEnd& from, PortRef port, RailId over, std::uint32_t exposure, const ccm::PortToken& token,
                       std::uint64_t reach) {
  for_end(from, kConnectTimeout, from.side_, [port, reach](SimPortEnd& own) {
    const auto& now = own.port_at(port).reach;
    if (now && now->serial == reach && !now->to) own.lose(port, reach);
  });
  const Side there = other(from.side_);
  const auto out = rail(over).carry(from.side_);
  if (!out) return for_end(from, kGiveUp, from.side_, [=](SimPortEnd& own) { own.lose(port, reach); });
  after(*out, there, [=, this, life = from.life_] {
    SimPortEnd* const target = end(there);
    const std::shared_ptr<SimExposure> found = target == nullptr ? nullptr : target->find(over, exposure, token);
    if (found) found->reached = true;
    SimPortEnd* const asker = end(other(there));
    const auto back = rail(over).carry(there);
    if (asker == nullptr || asker->life_ != life) return;
    for_end(*asker, back.value_or(kGiveUp), asker->side_, [=](SimPortEnd& own) {
      auto& now = own.port_at(port).reach;
      if (!now || now->serial != reach || now->to) return;
      if (!found || !back) return own.lose(port, reach);
      now->to = found;
      own.tell(PortNews::Kind::connected, port, exposure);
    });
  });
}

// It goes again until it is answered or the connection is given up.
void SimPorts::write(SimPortEnd& from, PortRef port, std::uint64_t reach, const std::shared_ptr<SimExposure>& to,
                     Instant give_up) {
  const auto out = rail(to->rail).carry(from.side_);
  if (!out) {
    return for_end(from, kAgain, from.side_, [=, this](SimPortEnd& own) {
      const auto& now = own.port_at(port).reach;
      if (!now || now->serial != reach) return;
      if (now_ >= give_up) return own.lose(port, reach);
      write(own, port, reach, to, give_up);
    });
  }
  after(*out, std::nullopt, [=, this, side = from.side_, life = from.life_] {
    if (!to->closed_at) {
      if (told_) told_({SimPortDeed::Kind::landed, to->side, to->port, to.get(), nullptr, {}});
      return;
    }
    SimPortEnd* const writer = end(side);
    if (writer == nullptr || writer->life_ != life) return;
    const auto back = rail(to->rail).carry(to->side);
    for_end(*writer, back.value_or(kGiveUp), side, [=](SimPortEnd& own) { own.lose(port, reach); });
  });
}

void SimPorts::pulse(Side side) {
  SimPortEnd* const own = end(side);
  if (own == nullptr) return;
  for (std::uint8_t slot = 0; slot < ccm::kMaxClients; ++slot) {
    for (std::uint8_t index = 0; index < ccm::kMaxClientPorts; ++index) {
      const PortRef ref{slot, index};
      const auto& reach = own->port_at(ref).reach;
      if (reach && reach->to) write(*own, ref, reach->serial, reach->to, now_ + kGiveUp);
    }
  }
  advance(now_);
}

// ---- one node ----------------------------------------------------------------------------------------------------

SimPortEnd::SimPortEnd(SimPorts& ports, Side side, Incarnation incarnation)
    : all_(&ports), side_(side), incarnation_(incarnation), life_(++ports.last_life_), stirred_(ports.now_) {
  HAPAIR_CHECK(all_->end(side) == nullptr, "one CCM of a node at a time");
  all_->end(side) = this;
}

SimPortEnd::~SimPortEnd() {
  for (auto& ports : ports_) {
    for (Port& port : ports) close(port, std::nullopt);
  }
  all_->end(side_) = nullptr;
}

bool SimPortEnd::give(const PortCommand& command) {
  stirred_ = all_->now_;
  Port& port = port_at(command.port);
  if (command.kind == Kind::tell && all_->told_) {
    const bool up = port.reach && port.reach->to;
    all_->told_({SimPortDeed::Kind::told, side_, command.port, port.open.empty() ? nullptr : port.open.back().get(),
                 up ? port.reach->to.get() : nullptr, command.standing});
  }
  carried_by_ = std::max(carried_by_, all_->now_ + all_->carry_time());  // in their order
  all_->for_end(*this, carried_by_ - all_->now_, side_, [command](SimPortEnd& own) { own.carry_out(command); });
  return true;
}

bool SimPortEnd::take(PortNews& into) {
  if (news_.empty()) return false;
  into = news_.front();
  news_.pop_front();
  return true;
}

bool SimPortEnd::all_ready(std::uint8_t slot) const {
  return std::ranges::all_of(ports_.at(slot), [](const Port& port) {
    return port.client_life == 0 || port.told.state == ccm::PortStandingState::ready;
  });
}

void SimPortEnd::carry_out(const PortCommand& command) {
  stirred_ = all_->now_;
  Port& port = port_at(command.port);
  switch (command.kind) {
    case Kind::create: {
      for (std::uint8_t index = 0; index < command.wants.ports; ++index) {
        ports_.at(command.port.slot).at(index) = {.client_life = command.life, .open = {}, .reach = {}, .told = {}};
      }
      PortNews news;
      news.kind = PortNews::Kind::created;
      news.port = command.port;
      news.life = command.life;
      news.wants = command.wants;
      news_.push_back(news);
      return;
    }
    case Kind::destroy:
      for (Port& each : ports_.at(command.port.slot)) {
        close(each, std::nullopt);
        each = {};
      }
      return;
    case Kind::expose: {
      auto opened = std::make_shared<SimExposure>(SimExposure{.side = side_,
                                                              .incarnation = incarnation_,
                                                              .port = command.port,
                                                              .client_life = command.life,
                                                              .rail = command.rail,
                                                              .number = command.exposure,
                                                              .token = command.token,
                                                              .closed_at = {}});
      if (all_->told_)
        all_->told_({SimPortDeed::Kind::exposed,
                     side_,
                     command.port,
                     opened.get(),
                     port.open.empty() ? nullptr : port.open.back().get(),
                     {}});
      port.open.push_back(std::move(opened));
      return;
    }
    case Kind::conceal:
      return close(port, command.exposure);
    case Kind::connect:
      return begin(command, port);
    case Kind::drop:
      port.reach.reset();  // what it had sent may still land
      return;
    case Kind::tell:
      port.told = command.standing;
      return;
  }
}

void SimPortEnd::close(Port& port, std::optional<std::uint32_t> exposure) {
  std::erase_if(port.open, [&](const std::shared_ptr<SimExposure>& one) {
    if (exposure && one->number != *exposure) return false;
    one->closed_at = all_->now_;
    return true;
  });
}

void SimPortEnd::begin(const PortCommand& command, Port& port) {
  port.reach = Reach{++all_->last_reach_, command.exposure, command.rail, nullptr};
  all_->connect(*this, command.port, command.rail, command.exposure, command.token, port.reach->serial);
}

void SimPortEnd::tell(PortNews::Kind kind, PortRef ref, std::uint32_t exposure) {
  stirred_ = all_->now_;
  PortNews news;
  news.kind = kind;
  news.port = ref;
  news.life = port_at(ref).client_life;
  news.exposure = exposure;
  news_.push_back(news);
}

void SimPortEnd::lose(PortRef ref, std::uint64_t reach) {
  auto& now = port_at(ref).reach;
  if (!now || now->serial != reach) return;
  tell(PortNews::Kind::not_connected, ref, now->exposure);
  now.reset();
}

std::shared_ptr<SimExposure> SimPortEnd::find(RailId rail, std::uint32_t exposure, const ccm::PortToken& token) {
  for (const auto& ports : ports_) {
    for (const Port& port : ports) {
      for (const auto& one : port.open) {
        if (one->number == exposure && one->rail == rail && one->token == token) return one;
      }
    }
  }
  return nullptr;
}

}  // namespace hapair::sim
