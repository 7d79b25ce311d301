#include "ccm/daemon/network.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/daemon/say.h"
#include "ccm/network/beat_socket.h"

namespace hapair::ccm {
namespace {

constexpr Duration kLogAgain = std::chrono::hours(1);
constexpr Duration kOpenAgain = std::chrono::seconds(1);
// Of datagrams at one beat: a flood costs so much of it and no more.
constexpr int kBatches = 16;

// What is wrong, and what to do.
std::string advice_for(BeatRefusal refusal, const BeatExchange& exchange, const NodeName& partner) {
  switch (refusal) {
    case BeatRefusal::malformed:
      return "bytes that are no beat; find out who sends to this port, or writes to this disk";
    case BeatRefusal::version:
      return "a beat of another version; install the same hapair on both nodes";
    case BeatRefusal::foreign:
      return "node \"" + exchange.foreign_node().text() + "\" of pair \"" + exchange.foreign_pair().text() +
             "\" beats there; correct the names or the address";
    case BeatRefusal::forged:
      return "whoever beats as " + partner.text() +
             " does not hold this pair's key; copy the same key_file to both nodes and restart ccmd there";
    case BeatRefusal::misdirected:
      return "a beat of another network of this pair; list ccm.networks and ccm.mailbox_disks in the same order on "
             "both nodes";
    case BeatRefusal::replayed:
      return "a beat that came before; where it goes on, somebody repeats what was recorded";
    case BeatRefusal::late:
      return "a beat that was under way for more than a second; look for a network that queues so long, or a disk that "
             "takes so long";
    case BeatRefusal::reordered:
    case BeatRefusal::unanswered:
      return {};
  }
  return {};
}

std::uint64_t count_of(Duration duration) {
  return static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count(), 0));
}

}  // namespace

Network::Network(const NetworkConfig& config, const BeatIdentity& identity, const Key& pair_key, Duration ccm_pace)
    : config_(config),
      pair_(identity.pair),
      node_(identity.node),
      partner_(identity.partner),
      number_(identity.network),
      every_(static_cast<std::uint64_t>(std::max<Duration::rep>(config.pace / ccm_pace, 1))),
      exchange_(identity, pair_key),
      notice_key_(notice_key(pair_key)) {
  put_name(self_.name, config.name.view());
  put_name(self_.address, config.device.empty() ? config.address : config.device);
  title_ = config.title();
  self_.is_disk = config.device.empty() ? 0 : 1;
  // Its thread and its memory are made before there is a loop that must not wait for them.
  if (self_.is_disk != 0) open(Instant());
  self_.pace_us = static_cast<std::uint32_t>(config.pace / std::chrono::microseconds(1));
}

void Network::take(Instant now, Duration late, ObservationWriter& observations) {
  if (!carrier_ && now >= next_open_) open(now);
  if (carrier_) receive(now, late, observations);
}

void Network::beat(Instant now, const BeatNews& news, const AgentBlockLayout& agent, bool at_once) {
  if (!carrier_) return;
  // A disk is not asked for more than it was said to take.
  if (beats_++ % every_ == 0 || (at_once && disk_ == nullptr)) send(now, news, agent);
  show();
}

void Network::open(Instant now) {
  next_open_ = now + kOpenAgain;
  looked_ = now;
  const auto opened = config_.device.empty() ? open_socket() : open_disk();
  if (opened) {
    if (!refused_open_.empty()) say(5, title_ + " can be used now");
  } else if (refused_open_ != opened.error()) {
    refused_open_ = opened.error();
    say(4, title_ + ": " + refused_open_ + "; it is tried again by itself");
  }
}

std::expected<void, std::string> Network::open_socket() {
  const auto local = Endpoint::make(config_.address, config_.port);
  const auto partner = Endpoint::make(config_.partner_address, config_.port);
  HAPAIR_CHECK(local && partner, "the configuration's addresses were checked");
  auto socket = BeatSocket::open(*local, *partner);
  if (!socket) {
    return std::unexpected("UDP port " + std::to_string(config_.port) + " of " + config_.address +
                           " cannot be used: " + socket.error());
  }
  carrier_ = std::make_unique<BeatSocket>(std::move(*socket));
  return {};
}

std::expected<void, std::string> Network::open_disk() {
  auto disk = DiskCarrier::open(config_.device, {pair_, node_, partner_});
  if (!disk) return std::unexpected(disk.error());
  disk_ = disk->get();
  carrier_ = std::move(*disk);
  return {};
}

void Network::receive(Instant now, Duration late, ObservationWriter& observations) {
  const Duration since = now - std::exchange(looked_, now);
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto datagrams = carrier_->receive();
    for (const Datagram& datagram : datagrams) {
      const Instant came = now - std::clamp(datagram.age, Duration{}, since);
      const bool block = disk_ != nullptr && datagram.bytes.size() == kDiskBlockBytes;
      const auto bytes = block ? datagram.bytes.first(kBeatBytes) : datagram.bytes;
      const auto beat = exchange_.take(came, bytes);
      if (!beat) {
        log_refusal(now, beat.error());
        continue;
      }
      tell_beat(came, late, bytes, observations);
      if (block) tell_notice(now, datagram.bytes, *beat, observations);
    }
    if (datagrams.size() < kBeatBatch) break;
  }
}

void Network::tell_beat(Instant came, Duration late, std::span<const std::byte> beat, ObservationWriter& observations) {
  observation_.when_ns = ns_of(came);
  observation_.posted_ns = ns_of(exchange_.made_after());
  observation_.round_trip_ns = count_of(exchange_.round_trips().last);
  observation_.channel = number_;
  observation_.kind = static_cast<std::uint32_t>(ObservationKind::beat);
  observation_.late_us =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(late.count() / 1000, 0, std::int64_t{0xffff'ffff}));
  std::memcpy(observation_.page.data(), beat.data(), beat.size());
  observations.write(observation_);
}

// What the beat proved of its life and time holds for what was sealed together with it.
void Network::tell_notice(Instant now, std::span<const std::byte> block, const BeatView& beat,
                          ObservationWriter& observations) {
  const auto notice = open_notice(block, beat, notice_key_);
  if (!notice) {
    ++self_.notices_refused[static_cast<std::size_t>(notice.error())];
    return log_refusal(now, notice.error());
  }
  if (!notice->there) return;
  ++self_.notices;
  observation_.kind = static_cast<std::uint32_t>(ObservationKind::notice);
  std::memcpy(observation_.page.data(), block.data(), block.size());
  observations.write(observation_);
}

bool Network::send_block(Instant now, const BeatNews& news, const AgentBlockLayout& agent) {
  const auto beat = exchange_.make(now, news);
  encode_notice(block_, beat, agent, notice_key_);
  return carrier_->send(block_);
}

void Network::send(Instant now, const BeatNews& news, const AgentBlockLayout& agent) {
  const bool sent = disk_ != nullptr ? send_block(now, news, agent) : carrier_->send(exchange_.make(now, news));
  if (!sent) ++self_.send_failed;
  self_.send_errno = carrier_->error();
  const auto refused = disk_ != nullptr ? disk_->refused() : std::nullopt;
  self_.disk_error = refused ? static_cast<std::uint8_t>(*refused) + 1 : 0;
  log_sending();
}

// A socket's queue that is full for a moment is no news, nor a disk that is not open yet.
void Network::log_sending() {
  const int now = carrier_->error();
  const bool moment = now == EAGAIN || now == ENOBUFS || (disk_ != nullptr && now == ENODEV && logged_errno_ == 0);
  const int error = moment ? logged_errno_ : now;
  if (error == std::exchange(logged_errno_, error)) return;
  if (error == 0) {
    say(5, title_ + ": beats go out to " + partner_.text());
  } else {
    say(4, title_ + ": no beat goes out to " + partner_.text() + ": " + advice_for_sending());
  }
}

std::string Network::advice_for_sending() const {
  if (disk_ == nullptr) {
    return std::string(std::strerror(logged_errno_)) + "; each beat tries again. Look at the address and route of " +
           config_.address;
  }
  if (const auto refused = disk_->refused()) {
    return config_.device + ": " + std::string(text_of(*refused)) +
           "; nothing is written there. Where it is to be this pair's: hapair mailbox init " + config_.device +
           std::string(init_option(*refused));
  }
  if (logged_errno_ == ETIMEDOUT) return config_.device + " does not answer; look at that disk and its path";
  return config_.device + ": " + std::strerror(logged_errno_) + "; it is tried again by itself";
}

void Network::log_refusal(Instant now, BeatRefusal refusal) {
  if (nobodys_fault(refusal)) return;
  // Whoever has no key can cause these as often as it likes.
  auto& logged = logged_[static_cast<std::size_t>(refusal)];
  if (logged && now - *logged < kLogAgain) return;
  logged = now;
  say(4, "refused input on " + title_ + " (" + std::string(text_of(refusal)) +
             "): " + advice_for(refusal, exchange_, partner_));
}

void Network::log_refusal(Instant now, NoticeRefusal refusal) {
  // Half a write is read where both nodes come to the block at once: the next beat brings the whole.
  if (refusal == NoticeRefusal::torn) return;
  auto& logged = logged_notice_[static_cast<std::size_t>(refusal)];
  if (logged && now - *logged < kLogAgain) return;
  logged = now;
  const bool version = refusal == NoticeRefusal::version;
  say(4, "refused a notice on " + title_ + " (" + std::string(text_of(refusal)) +
             "): " + (version ? "install the same hapair on both nodes" : "find out who else writes to this disk"));
}

void Network::show() {
  const BeatCounters& counters = exchange_.counters();
  self_.sent = counters.sent;
  self_.heard = counters.heard;
  self_.lost = counters.lost;
  self_.refused = counters.refused;
  const RoundTrips& trips = exchange_.round_trips();
  self_.round_trip_ns = count_of(trips.last);
  self_.round_trip_min_ns = count_of(trips.min);
  self_.round_trip_mean_ns = count_of(trips.mean);
  self_.round_trip_max_ns = count_of(trips.max);
  self_.mean_arrival_ns = count_of(exchange_.mean_arrival());
  if (const auto heard = exchange_.heard_at()) self_.heard_at_ns = ns_of(*heard);
  if (const auto reached = exchange_.reached_partner_at()) self_.reached_at_ns = ns_of(*reached);
  put_name(self_.foreign_pair, exchange_.foreign_pair().view());
  put_name(self_.foreign_node, exchange_.foreign_node().view());
}

}  // namespace hapair::ccm
