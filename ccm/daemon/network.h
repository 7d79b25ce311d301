// One IP network or mailbox disk of the CCM: what carries its beats, and what they tell. The CCM's loop drives it;
// nothing here waits or allocates.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"
#include "ccm/network/beat_carrier.h"
#include "ccm/network/beat_exchange.h"
#include "ccm/network/disk_carrier.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/observation_ring.h"

namespace hapair::ccm {

class Network {
 public:
  // The addresses of `config` are numeric. Where the port or the disk cannot be had now, that is told, and tried again
  // at every second.
  Network(const NetworkConfig& config, const BeatIdentity& identity, const Key& pair_key, Duration ccm_pace);

  // Both at each of the CCM's beats. Takes what has come since the last one; `late`: by how much the loop missed it.
  void take(Instant now, Duration late, ObservationWriter& observations);
  // Sends a beat where one is due on this network; `at_once`: also where its own pace has none due. On a disk `agent`
  // goes with it: what this node's pages show in this very beat.
  void beat(Instant now, const BeatNews& news, const AgentBlockLayout& agent, bool at_once);
  [[nodiscard]] const NetworkSelfLayout& self() const { return self_; }

 private:
  void open(Instant now);
  std::expected<void, std::string> open_socket();
  std::expected<void, std::string> open_disk();
  void receive(Instant now, Duration late, ObservationWriter& observations);
  void tell_beat(Instant came, Duration late, std::span<const std::byte> beat, ObservationWriter& observations);
  void tell_notice(Instant now, std::span<const std::byte> block, const BeatView& beat,
                   ObservationWriter& observations);
  bool send_block(Instant now, const BeatNews& news, const AgentBlockLayout& agent);
  void send(Instant now, const BeatNews& news, const AgentBlockLayout& agent);
  void log_refusal(Instant now, BeatRefusal refusal);
  void log_refusal(Instant now, NoticeRefusal refusal);
  void log_sending();
  [[nodiscard]] std::string advice_for_sending() const;
  void show();

  NetworkConfig config_;
  PairName pair_;
  NodeName node_;
  NodeName partner_;
  std::uint8_t number_;
  std::uint64_t every_;  // so many of the CCM's beats for one of these
  std::uint64_t beats_ = 0;
  std::unique_ptr<BeatCarrier> carrier_;
  DiskCarrier* disk_ = nullptr;  // `carrier_`, where it is one
  std::string title_;
  Instant next_open_;
  std::string refused_open_;
  BeatExchange exchange_;
  Key notice_key_;
  DiskBlock block_{};  // to be written
  Instant looked_;     // last
  int logged_errno_ = 0;
  std::array<std::optional<Instant>, kBeatRefusals> logged_;  // when each kind was logged last
  std::array<std::optional<Instant>, kNoticeRefusals> logged_notice_;
  NetworkSelfLayout self_{};
  ObservationLayout observation_{};
};

}  // namespace hapair::ccm
