#include "ccm/daemon/ccm.h"

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

HandshakeIdentity handshake_identity(const CcmIdentity& identity) {
  return {identity.config.pair, identity.config.node, identity.config.partner, identity.incarnation, identity.boot_id};
}

// One line for the journal, with the severity prefix that systemd reads.
void say(int severity, const std::string& line) { std::fprintf(stderr, "<%d>%s\n", severity, line.c_str()); }

}  // namespace

Ccm::Ccm(const CcmIdentity& identity, Fabric& fabric, Random& random, PhaseRecord phase, const Clock& clock)
    : config_(identity.config),
      identity_(identity),
      fabric_(&fabric),
      clock_(&clock),
      phase_(std::move(phase)),
      handshake_(handshake_identity(identity), {identity.config.pace, identity.config.operation_deadline}, identity.key,
                 random),
      clients_(identity.incarnation, random, *this),
      page_(fabric.status_memory()),
      next_beat_(clock.now()) {
  StatusPageLayout& page = page_.draft();
  put_name(page.pair, config_.pair.view());
  put_name(page.node, config_.node.view());
  page.incarnation = identity.incarnation.value();
  page.boot_id = identity.boot_id.bytes;
  const auto pace_us = std::chrono::duration_cast<std::chrono::microseconds>(config_.pace).count();
  page.pace_us = static_cast<std::uint32_t>(pace_us);
  self_.incarnation = identity.incarnation.value();
  self_.boot_id = identity.boot_id.bytes;
  self_.pace_us = page.pace_us;
}

Instant Ccm::turn(Instant now) {
  poll_fabric(now);
  const bool beats = now >= next_beat_;
  if (beats) beat(now);
  carry_out(now, handshake_.tick(now, fabric_->mailbox_memory()));
  poll_fabric(now);
  if (beats) {
    // Looking without seeing is an observation too: it is what silence is made of.
    if (!observed_since_beat_) observe(now, ObservationKind::pending, FabricError::none, nullptr);
    observed_since_beat_ = false;
    publish_self();
  }
  if (std::exchange(new_observations_, false)) clients_.wake_clients();
  Instant next = next_beat_;
  if (const auto wake = handshake_.next_wake()) next = std::min(next, *wake);
  return next;
}

// Beats fall on absolute times; those that were missed while this process did not run are not made up for.
void Ccm::beat(Instant now) {
  late_ = now - next_beat_;
  next_beat_ += config_.pace;
  if (next_beat_ <= now) next_beat_ = now + config_.pace;
  ++page_.draft().ccm_beat;
  clients_.copy_to(page_.draft());
  publish(now);
}

void Ccm::publish(Instant now) {
  StatusPageLayout& page = page_.draft();
  page.phase = static_cast<std::uint8_t>(phase_.phase());
  page.phase_since_ms = ns_between(phase_.since(), now) / 1'000'000;
  page.handshake = static_cast<std::uint8_t>(handshake_.state());
  page.nonce = handshake_.nonce();
  page.proof = handshake_.proof();
  page.proof_for_incarnation = handshake_.proof_for().value();
  page_.publish(handshake_.session());
}

void Ccm::publish_self() {
  const RefusalCounters& refused = handshake_.refused();
  self_.beat = page_.draft().ccm_beat;
  self_.phase = static_cast<std::uint8_t>(phase_.phase());
  self_.handshake = static_cast<std::uint8_t>(handshake_.state());
  self_.refused_key = refused.key;
  self_.refused_identity = refused.identity;
  self_.refused_layout = refused.layout;
  self_.refused_stale = refused.stale;
  self_.refused_malformed = refused.malformed;
  put_name(self_.refused_pair, refused.foreign_pair.view());
  put_name(self_.refused_node, refused.foreign_node.view());
  self_.refused_layout_min = refused.foreign_layouts.min;
  self_.refused_layout_max = refused.foreign_layouts.max;
  clients_.observations().write_self(self_);
}

void Ccm::poll_fabric(Instant now) {
  std::array<FabricEvent, 8> events;
  // A fabric that completes within poll() can answer what its answers led to; the bound is against one that always
  // does.
  for (int round = 0; round < 32; ++round) {
    const std::size_t count = fabric_->poll(now, events);
    for (std::size_t i = 0; i < count; ++i) take(now, events[i]);
    if (count == 0) return;
  }
}

void Ccm::take(Instant now, const FabricEvent& event) {
  switch (event.kind) {
    case FabricEvent::Kind::connected:
      carry_out(now, handshake_.connected(now));
      return;
    case FabricEvent::Kind::not_connected:
      observe(now, ObservationKind::failed, event.error, nullptr);
      carry_out(now, handshake_.not_connected(now, event.error));
      return;
    case FabricEvent::Kind::lost:
      observe(now, ObservationKind::failed, event.error, nullptr);
      carry_out(now, handshake_.lost(now, event.error));
      return;
    case FabricEvent::Kind::read_done: {
      ++self_.reads;
      if (event.error != FabricError::none) {
        ++self_.errors;
        if (!std::exchange(read_given_up_, false)) observe(now, ObservationKind::failed, event.error, nullptr);
        read_posted_.reset();
        carry_out(now, handshake_.page_failed(now, event.error));
        return;
      }
      const HandshakeOutput output = handshake_.page(now, read_buffer_);
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
      if (event.error != FabricError::none) ++self_.errors;
      carry_out(now, handshake_.write_done(now, event.error));
      return;
  }
}

void Ccm::carry_out(Instant now, const HandshakeOutput& output) {
  log_refusals(output.refusals);
  if (output.ended) {
    say(4, "the early channel to " + config_.partner.text() + " is down: " + std::string(text_of(*output.ended)) +
               "; it is taken up again as soon as the partner answers");
  }
  if (output.established) {
    ++self_.sessions;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(*output.established).count();
    self_.connected_in_us = static_cast<std::uint64_t>(std::max<std::int64_t>(us, 1));
    std::array<char, 64> took{};
    std::snprintf(took.data(), took.size(), "%.2f ms", ms_of(*output.established));
    say(5, "the early channel to " + config_.partner.text() + " is up, " + took.data() +
               " after both pages were readable, over " + std::string(fabric_->kind()));
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
    const OperationId id(next_operation_++);
    read_posted_ = now;
    if (!fabric_->post_read(now, id, RemotePage::status, 0, read_buffer_)) {
      read_posted_.reset();
      carry_out(now, handshake_.page_failed(now, FabricError::disconnected));
    }
  }
}

void Ccm::observe(Instant now, ObservationKind kind, FabricError error, const PageJudgement* judgement) {
  observed_since_beat_ = true;
  new_observations_ = true;
  observation_.when_ns = ns_of(now);
  observation_.posted_ns = read_posted_ ? ns_of(*read_posted_) : 0;
  observation_.round_trip_ns =
      static_cast<std::uint64_t>(std::max<Duration::rep>(fabric_->last_round_trip().count(), 0));
  observation_.age_ns = read_posted_ ? ns_between(*read_posted_, now) : 0;
  observation_.rail = 0;
  observation_.kind = static_cast<std::uint32_t>(kind);
  observation_.error = static_cast<std::uint8_t>(error);
  observation_.page_error = judgement == nullptr ? std::uint8_t{0} : static_cast<std::uint8_t>(judgement->error);
  observation_.handshake = static_cast<std::uint8_t>(handshake_.state());
  observation_.proof = judgement != nullptr ? static_cast<std::uint8_t>(judgement->proof) : std::uint8_t{0};
  observation_.late_us =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(late_.count() / 1000, 0, std::int64_t{0xffff'ffff}));
  if (judgement != nullptr) std::memcpy(observation_.page.data(), read_buffer_.data(), read_buffer_.size());
  clients_.observations().write(observation_);
}

void Ccm::log_refusals(const RefusalList& refusals) {
  const Incarnation partner = handshake_.partner() ? handshake_.partner()->incarnation : Incarnation();
  for (const Refusal& refusal : refusals.items()) {
    // Once per kind and life of the partner: the counters have every occurrence.
    auto& logged = logged_refusals_[static_cast<std::size_t>(refusal.kind)];
    if (logged == partner) continue;
    logged = partner;
    std::string line = "refused input at the early channel of " + config_.node.text() + " (" +
                       std::string(text_of(refusal.kind)) + "): ";
    switch (refusal.kind) {
      case RefusalKind::key:
        line += "whoever answers as " + config_.partner.text() +
                " does not hold this pair's key; copy the same key_file to both nodes and restart ccmd there";
        break;
      case RefusalKind::identity:
        line += "node \"" + refusal.node.text() + "\" of pair \"" + refusal.pair.text() +
                "\" is there instead of node \"" + config_.partner.text() + "\" of pair \"" + config_.pair.text() +
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
    say(refusal.kind == RefusalKind::stale ? 6 : 4, line);
  }
}

ClientRefusal Ccm::set_phase(BootPhase phase) {
  if (!phase_.allows(phase)) return ClientRefusal::phase_backward;
  const Instant now = clock_->now();
  if (const auto written = phase_.set(phase, now); !written) {
    say(4, "the boot phase is published, but could not be kept for a restarted ccmd: " + written.error());
  }
  publish(now);
  return ClientRefusal::none;
}

void Ccm::withdraw() {
  fabric_->drop(clock_->now());
  page_.withdraw();
}

}  // namespace hapair::ccm
