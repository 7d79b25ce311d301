// A disk in memory that keeps registrations and a reservation as SPC-4 says, and what a node sees of it over its paths.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/reservation/reservable_disk.h"

namespace hapair::agent::test {

// A way into the disk: a node's port and one of the disk's.
using Nexus = std::pair<std::string, std::size_t>;

class MemoryDisk {
 public:
  std::map<Nexus, ReservationKey> registered;
  std::optional<Nexus> holder;
  std::uint8_t type = kWriteExclusiveRegistrantsOnly;
  std::vector<std::string> log;  // "alpha:0 preempt_and_abort"
  // Called before each command is carried out: another node's, in between.
  std::function<void(const ReserveOut&)> before_command = [](const ReserveOut&) {};

  [[nodiscard]] bool may_write(const std::string& node) const {
    if (!holder) return true;
    return std::ranges::any_of(registered, [&](const auto& one) { return one.first.first == node; });
  }

  [[nodiscard]] DiskReservations said() const {
    DiskReservations said;
    for (const auto& [nexus, key] : registered) said.keys.push_back(key);
    if (holder) said.reservation = Reservation{registered.at(*holder), type};
    return said;
  }

  // False: RESERVATION CONFLICT.
  bool carry_out(const Nexus& from, const ReserveOut& command) {
    before_command(command);
    log.push_back(from.first + ":" + std::to_string(from.second) + " " + word(command.action));
    const auto own = registered.find(from);
    if (command.action == ReserveOutAction::register_key) {
      registered[from] = command.subject;
      return true;
    }
    if (own == registered.end() || own->second != command.key) return false;
    switch (command.action) {
      case ReserveOutAction::change_key:
        if (command.subject != ReservationKey{}) {
          own->second = command.subject;
        } else {
          if (holder == from) holder.reset();
          registered.erase(own);
        }
        return true;
      case ReserveOutAction::reserve:
        if (holder && *holder != from) return false;
        holder = from;
        return true;
      case ReserveOutAction::release:
        if (holder == from) holder.reset();
        return true;
      case ReserveOutAction::preempt_and_abort:
        return preempt(from, command.subject);
      case ReserveOutAction::register_key:
        break;
    }
    return false;
  }

 private:
  static std::string word(ReserveOutAction action) {
    switch (action) {
      case ReserveOutAction::change_key:
        return "change_key";
      case ReserveOutAction::reserve:
        return "reserve";
      case ReserveOutAction::release:
        return "release";
      case ReserveOutAction::preempt_and_abort:
        return "preempt_and_abort";
      case ReserveOutAction::register_key:
        return "register";
    }
    return "?";
  }

  bool preempt(const Nexus& from, ReservationKey subject) {
    const bool of_holder = holder && registered.at(*holder) == subject;
    if (std::ranges::none_of(registered, [&](const auto& one) { return one.second == subject; })) return false;
    std::erase_if(registered, [&](const auto& one) { return one.second == subject && one.first != from; });
    if (of_holder) {
      holder = from;
      type = kWriteExclusiveRegistrantsOnly;
    }
    return true;
  }
};

class DiskOfNode final : public ReservableDisk {
 public:
  DiskOfNode(MemoryDisk& disk, std::string node, std::size_t paths = 1)
      : disk_(&disk), node_(std::move(node)), paths_(paths) {}

  std::set<std::size_t> silent;               // paths that do not answer
  std::optional<DiskProblem> broken;          // what every question is answered with
  std::function<void()> before_read = [] {};  // another node's doing, in between

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::size_t paths() const override { return paths_; }
  std::expected<DiskReservations, DiskProblem> read() override {
    if (broken) return std::unexpected(*broken);
    before_read();
    if (silent.size() == paths_) return std::unexpected(silence(0));
    return disk_->said();
  }
  std::expected<void, DiskProblem> send(std::size_t path, const ReserveOut& command) override {
    if (broken) return std::unexpected(*broken);
    if (silent.contains(path)) return std::unexpected(silence(path));
    if (disk_->carry_out({node_, path}, command)) return {};
    return std::unexpected(DiskProblem{DiskProblem::Kind::conflict, name_ + ": answers RESERVATION CONFLICT"});
  }

 private:
  [[nodiscard]] DiskProblem silence(std::size_t path) const {
    return {DiskProblem::Kind::silent, name_ + " over path " + std::to_string(path) + ": does not answer"};
  }

  MemoryDisk* disk_;
  std::string node_;
  std::string name_ = "/dev/shared";
  std::size_t paths_;
};

inline ccm::Key pair_key() {
  ccm::start_crypto();
  std::array<std::byte, 32> secret{};
  secret.fill(std::byte{7});
  return ccm::Key::from_secret(secret);
}
inline BootId life(std::uint8_t number) {
  BootId id;
  id.bytes.fill(number);
  return id;
}
inline Keyring keys_of(const std::string& node, std::uint8_t number = 1) {
  const std::string partner = node == "alpha" ? "beta" : "alpha";
  return Keyring(pair_key(), {*PairName::parse("lab"), *NodeName::parse(node), *NodeName::parse(partner)},
                 life(number));
}

}  // namespace hapair::agent::test
