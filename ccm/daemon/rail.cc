#include "ccm/daemon/rail.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

namespace hapair::ccm {
namespace {

std::uint64_t ns_between(Instant from, Instant to) {
  return to > from ? static_cast<std::uint64_t>((to - from).count()) : 0;
}

constexpr std::uint64_t kMeanOver = 16;
// Of refusals of one kind without a session between them.
constexpr Duration kLogAgain = std::chrono::hours(1);

}  // namespace

Rail::Rail(RailId id, const RailName& name, const HandshakeIdentity& identity, const HandshakeSettings& settings,
           const Key& pair_key, Fabric& fabric, Random& random, Journal& journal)
    : id_(id),
      name_(name),
      node_(identity.node),
      partner_(identity.partner),
      pair_(identity.pair),
      fabric_(&fabric),
      journal_(&journal),
      handshake_(identity, settings, pair_key, random),
      page_(fabric.status_memory()) {
  put_name(self_.name, name.view());
  put_name(self_.fabric, fabric.kind());
}

void Rail::publish(Instant now) {
  StatusPageLayout& page = page_.draft();
  page.handshake = static_cast<std::uint8_t>(handshake_.state());
  page.nonce = handshake_.nonce();
  page.proof = handshake_.proof();
  page.proof_for_incarnation = handshake_.proof_for().value();
  page_.publish(handshake_.session());
  if (self_.handshake != page.handshake || self_.since_ns == 0) {
    self_.handshake = page.handshake;
    self_.since_ns = ns_of(now);
  }
}

void Rail::withdraw(Instant now) {
  fabric_->drop(now);
  page_.withdraw();
}

void Rail::turn(Instant now, bool beats, Duration late) {
  late_ = late;
  if (beats) handshake_.beat(now);
  poll_fabric(now);
  carry_out(now, handshake_.tick(now, fabric_->mailbox_memory()));
  poll_fabric(now);
  if (!beats) return;
  self_.turned_away = fabric_->turned_away();
  put_name(self_.device, fabric_->device());
  log_trouble();
  // Looking without seeing is an observation too: it is what silence is made of.
  if (!observed_since_beat_) observe(now, ObservationKind::pending, FabricError::none, nullptr);
  observed_since_beat_ = false;
}

std::optional<std::span<const std::byte>> Rail::take_sealed_page() {
  if (!std::exchange(sealed_, false)) return std::nullopt;
  return read_buffer_;
}

std::optional<PoisonSight> Rail::take_poison_sight() { return std::exchange(poison_sight_, std::nullopt); }

std::optional<PoisonOrder> Rail::take_poison(Instant now, const PoisonOrder& newest) {
  RefusalList refusals;
  const auto order = handshake_.take_poison(fabric_->mailbox_memory(), newest, refusals);
  log_refusals(now, refusals);
  return order;
}

// Now: the next read goes into the same memory.
void Rail::note_poison_sight() {
  poison_sight_.reset();
  if (!sealed_) return;
  StatusPageLayout page;
  std::memcpy(&page, read_buffer_.data(), sizeof page);
  poison_sight_ = {Incarnation(page.incarnation), BootId{page.boot_id}, page.session.capabilities, page.poison};
}

void Rail::count_error(FabricError error) {
  ++self_.errors;
  self_.last_error = static_cast<std::uint8_t>(error);
}

void Rail::measure_round_trip() {
  const auto last = static_cast<std::uint64_t>(std::max<Duration::rep>(fabric_->last_round_trip().count(), 0));
  if (last == 0) return;
  self_.round_trip_min_ns = self_.round_trip_ns == 0 ? last : std::min(self_.round_trip_min_ns, last);
  self_.round_trip_max_ns = std::max(self_.round_trip_max_ns, last);
  self_.round_trip_mean_ns = self_.round_trip_ns == 0
                                 ? last
                                 : self_.round_trip_mean_ns - self_.round_trip_mean_ns / kMeanOver + last / kMeanOver;
  self_.round_trip_ns = last;
}

void Rail::poll_fabric(Instant now) {
  std::array<FabricEvent, 8> events;
  // A fabric that completes within poll() can answer what its answers led to; the bound is against one that always
  // does.
  for (int round = 0; round < 32; ++round) {
    const std::size_t count = fabric_->poll(now, events);
    for (std::size_t i = 0; i < count; ++i) take(now, events[i]);
    if (count == 0) return;
  }
}

void Rail::take(Instant now, const FabricEvent& event) {
  switch (event.kind) {
    case FabricEvent::Kind::connected:
      carry_out(now, handshake_.connected(now));
      return;
    case FabricEvent::Kind::not_connected:
      self_.last_error = static_cast<std::uint8_t>(event.error);
      observe(now, ObservationKind::failed, event.error, nullptr);
      carry_out(now, handshake_.not_connected(now, event.error));
      return;
    case FabricEvent::Kind::lost:
      self_.last_error = static_cast<std::uint8_t>(event.error);
      observe(now, ObservationKind::failed, event.error, nullptr);
      carry_out(now, handshake_.lost(now, event.error));
      return;
    case FabricEvent::Kind::read_done: {
      ++self_.reads;
      if (event.error != FabricError::none) {
        count_error(event.error);
        if (!std::exchange(read_given_up_, false)) observe(now, ObservationKind::failed, event.error, nullptr);
        read_posted_.reset();
        carry_out(now, handshake_.page_failed(now, event.error));
        return;
      }
      measure_round_trip();
      self_.last_error = static_cast<std::uint8_t>(FabricError::none);
      // The part that was not read is another one, or the page was being written: this read is not over.
      if (read_bytes_ < kPageBytes && !page_is_whole(read_buffer_) && post_read(now, kPageBytes)) {
        handshake_.read_goes_on(now);
        return;
      }
      const HandshakeOutput output = handshake_.page(now, read_buffer_, still_);
      if (output.page) sealed_ = output.page->readable && output.page->proof == PageProof::session;
      still_known_ = output.page && sealed_;
      if (output.page) note_poison_sight();
      // A torn page is no news: it is read again.
      if (output.page && (output.page->readable || output.page->error != PageError::torn)) {
        observe(now, output.page->readable ? ObservationKind::page : ObservationKind::unreadable, FabricError::none,
                &*output.page);
      }
      read_posted_.reset();
      carry_out(now, output);
      return;
    }
    case FabricEvent::Kind::write_done:
      ++self_.writes;
      if (event.error != FabricError::none) count_error(event.error);
      carry_out(now, handshake_.write_done(now, event.error));
      return;
  }
}

void Rail::carry_out(Instant now, const HandshakeOutput& output) {
  log_refusals(now, output.refusals);
  if (output.ended || output.drop) still_known_ = false;
  if (output.ended) {
    journal_->say(4, "the early channel to " + partner_.text() + " over rail " + name_.text() + " is down: " +
                         std::string(text_of(*output.ended)) + "; it is taken up again as soon as the partner answers");
  }
  if (output.established) {
    ++self_.sessions;
    logged_refusals_ = {};
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(*output.established).count();
    self_.connected_in_us = static_cast<std::uint64_t>(std::max<std::int64_t>(us, 1));
    std::array<char, 64> took{};
    std::snprintf(took.data(), took.size(), "%.2f ms", ms_of(*output.established));
    journal_->say(5, "the early channel to " + partner_.text() + " is up, " + took.data() +
                         " after both pages were readable, over rail " + name_.text() + " (" +
                         std::string(fabric_->kind()) + ")");
  }
  if (output.publish) publish(now);
  if (output.drop) {
    // What is still outstanding completes as disconnected, because it was given up: the deadline is what happened.
    if (*output.drop == FabricError::deadline) {
      observe(now, ObservationKind::failed, FabricError::deadline, nullptr);
      read_given_up_ = read_posted_.has_value();
    }
    fabric_->drop(now);
    read_posted_.reset();
  }
  if (output.connect) fabric_->connect(now);
  if (output.write) {
    write_buffer_ = output.write->bytes;
    const OperationId id(next_operation_++);
    if (!fabric_->post_write(now, id, RemotePage::mailbox, output.write->offset, write_buffer_)) {
      carry_out(now, handshake_.write_done(now, FabricError::disconnected));
    }
  }
  if (output.read) {
    read_posted_ = now;
    if (!post_read(now, still_known_ ? kStillFrom : kPageBytes)) {
      read_posted_.reset();
      carry_out(now, handshake_.page_failed(now, FabricError::disconnected));
    }
  }
}

bool Rail::post_read(Instant now, std::size_t bytes) {
  read_bytes_ = bytes;
  return fabric_->post_read(now, OperationId(next_operation_++), RemotePage::status, 0,
                            std::span(read_buffer_).first(bytes));
}

void Rail::observe(Instant now, ObservationKind kind, FabricError error, const PageJudgement* judgement) {
  observed_since_beat_ = true;
  // A page of the session that says no more than the one before is no news; the first such page after something else
  // is.
  const bool sealed_page = kind == ObservationKind::page && judgement->proof == PageProof::session;
  if (!sealed_page) page_news_.forget();
  const bool as_before = sealed_page && !page_news_.take(read_buffer_);
  news_ = std::max(news_, as_before ? RailNews::as_before : RailNews::some);
  shows_partner_ = sealed_page;
  observation_.when_ns = ns_of(now);
  observation_.posted_ns = read_posted_ ? ns_of(*read_posted_) : 0;
  observation_.round_trip_ns =
      static_cast<std::uint64_t>(std::max<Duration::rep>(fabric_->last_round_trip().count(), 0));
  observation_.age_ns = read_posted_ ? ns_between(*read_posted_, now) : 0;
  observation_.channel = static_cast<std::uint32_t>(id_.value());
  observation_.kind = static_cast<std::uint32_t>(kind);
  observation_.error = static_cast<std::uint8_t>(error);
  observation_.page_error = judgement == nullptr ? std::uint8_t{0} : static_cast<std::uint8_t>(judgement->error);
  observation_.handshake = static_cast<std::uint8_t>(handshake_.state());
  observation_.proof = judgement != nullptr ? static_cast<std::uint8_t>(judgement->proof) : std::uint8_t{0};
  observation_.late_us =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(late_.count() / 1000, 0, std::int64_t{0xffff'ffff}));
  if (judgement != nullptr) std::memcpy(observation_.page.data(), read_buffer_.data(), read_buffer_.size());
  observations_->write(observation_);
}

void Rail::log_trouble() {
  const std::string_view trouble = fabric_->trouble();
  if (trouble == logged_trouble_) return;
  if (trouble.empty()) {
    journal_->say(5, "rail " + name_.text() + " (" + std::string(fabric_->kind()) + ") can be used now");
  } else {
    journal_->say(4, "rail " + name_.text() + " (" + std::string(fabric_->kind()) +
                         ") cannot be used for now: " + std::string(trouble) + "; it is tried again by itself");
  }
  logged_trouble_ = trouble;
}

void Rail::log_refusals(Instant now, const RefusalList& refusals) {
  for (const Refusal& refusal : refusals.items()) {
    // Whoever has no key can cause these as often as it likes, under as many incarnations.
    auto& logged = logged_refusals_[static_cast<std::size_t>(refusal.kind)];
    if (logged && now - *logged < kLogAgain) continue;
    logged = now;
    std::string line = "refused input at the early channel of " + node_.text() + ", rail " + name_.text() + " (" +
                       std::string(text_of(refusal.kind)) + "): ";
    switch (refusal.kind) {
      case RefusalKind::key:
        line += "whoever answers as " + partner_.text() +
                " does not hold this pair's key; copy the same key_file to both nodes and restart ccmd there";
        break;
      case RefusalKind::identity:
        line += "node \"" + refusal.node.text() + "\" of pair \"" + refusal.pair.text() +
                "\" is there instead of node \"" + partner_.text() + "\" of pair \"" + pair_.text() +
                "\"; correct the names or the address";
        break;
      case RefusalKind::layout:
        line += "the partner speaks layouts " + std::to_string(refusal.layouts.min) + " to " +
                std::to_string(refusal.layouts.max) + ", this node " + std::to_string(kLayoutMin) + " to " +
                std::to_string(kLayoutMax) + "; install versions with one in common";
        break;
      case RefusalKind::stale:
        line += "a record of an earlier handshake arrived late; nothing to do";
        break;
      case RefusalKind::malformed:
        line += "bytes that are no record of this protocol; nothing was changed by them";
        break;
    }
    journal_->say(refusal.kind == RefusalKind::stale ? 6 : 4, line);
  }
}

}  // namespace hapair::ccm
