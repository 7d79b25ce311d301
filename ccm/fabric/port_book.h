// What one end of a port keeps, whatever carries it: the own attempt or connection and the operations posted on it, the
// receive buffers, whether the partner is in, and the events that were not polled yet; so that each operation completes
// exactly once and in its order, and each attempt is answered exactly once (port_fabric.h). Never allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

class PortBook {
 public:
  struct Receive {
    OperationId id;
    std::span<std::byte> into;
  };

  explicit PortBook(PortId id) : id_(id) {}
  [[nodiscard]] PortId id() const { return id_; }

  // ---- own connection
  [[nodiscard]] bool none() const { return link_ == Link::none; }
  [[nodiscard]] bool attempting() const { return link_ == Link::attempt; }
  [[nodiscard]] bool up() const { return link_ == Link::up; }
  [[nodiscard]] bool outstanding() const { return !operations_.empty(); }
  [[nodiscard]] OperationId oldest() { return operations_.front(); }
  // Where every one that is outstanding could complete and find room.
  [[nodiscard]] bool room_for_operation() const;
  void begin();
  void established(std::uint32_t partner_bytes);
  void post(OperationId id) { operations_.push(id); }
  void complete_oldest(FabricError error);
  // It ended by itself: the oldest operation ends as `first`, those behind it are flushed.
  void end(FabricError first, FabricError why);
  // It is no longer wanted: an unheard "connected" becomes the answer that its attempt ended; an unheard "lost" is no
  // news.
  void drop();

  // ---- the partner's connection
  [[nodiscard]] bool partner_in() const { return partner_in_; }
  // False: too much of earlier ones was not polled yet, so a new one has to wait.
  [[nodiscard]] bool takes_partner() const { return partner_events_ < kPartnerEvents; }
  void partner_came();
  void partner_left();
  bool post_receive(OperationId id, std::span<std::byte> into);
  [[nodiscard]] std::size_t receives() const { return receives_.size(); }
  [[nodiscard]] const Receive& receive(std::size_t i) { return receives_.at(i); }
  void received(std::uint32_t bytes);  // into the oldest buffer

  // From here on only what was not polled yet is left.
  void remove();
  [[nodiscard]] bool removed() const { return removed_; }
  [[nodiscard]] bool drained() const { return events_.empty(); }
  std::optional<PortEvent> next_event();

 private:
  enum class Link : std::uint8_t { none, attempt, up };
  static constexpr std::size_t kPartnerEvents = 4;
  static constexpr std::size_t kLinkEvents = 4;
  static constexpr std::size_t kEvents =
      PortFabric::kQueueDepth + PortFabric::kMaxReceives + kPartnerEvents + 2 + kLinkEvents;

  void push(PortEvent::Kind kind, OperationId operation, FabricError error, std::uint32_t bytes = 0);

  PortId id_;
  Link link_ = Link::none;
  bool partner_in_ = false;
  bool removed_ = false;
  FixedRing<OperationId, PortFabric::kQueueDepth> operations_;
  FixedRing<Receive, PortFabric::kMaxReceives> receives_;
  FixedRing<PortEvent, kEvents> events_;
  std::size_t done_events_ = 0;
  std::size_t received_events_ = 0;
  std::size_t partner_events_ = 0;
  std::size_t link_events_ = 0;
};

// What the ends have for the caller, by turns, so that a busy port does not keep the others waiting; `first` is where
// the next call begins. An end that is removed and drained goes.
template <class Ends>
std::size_t take_events(Ends& ends, std::size_t& first, std::span<PortEvent> into) {
  std::size_t count = 0;
  bool any = true;
  while (any && count < into.size()) {
    any = false;
    for (std::size_t i = 0; i < ends.size() && count < into.size(); ++i) {
      auto& end = ends.at((first + i) % ends.size());
      const auto event = end ? end->next_event() : std::nullopt;
      if (!event) continue;
      into[count++] = *event;
      any = true;
    }
    ++first;
  }
  for (auto& end : ends) {
    if (end && end->removed() && end->drained()) end.reset();
  }
  return count;
}

// In constant time: how much of a wrong token is right shows nowhere.
bool same_token(const PortToken& one, const PortToken& other);

}  // namespace hapair::ccm
