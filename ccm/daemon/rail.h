// One rail of the CCM: its fabric, its own handshake with the partner, its own status page (nonces and proofs are a
// rail's), and what was seen through it. The CCM's loop drives it; nothing here waits, allocates or owns a descriptor.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/daemon/say.h"
#include "ccm/fabric/fabric.h"
#include "ccm/handshake/handshake.h"
#include "ccm/poison/giver.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/observation_ring.h"
#include "ccm/wire/page_news.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

// What its observations tell: nothing was observed; all goes on as before; more than that.
enum class RailNews : std::uint8_t { none, as_before, some };

class Rail {
 public:
  // `fabric` is open; it, `random`, `journal` and whatever `observations` points to later outlive this.
  Rail(RailId id, const RailName& name, const HandshakeIdentity& identity, const HandshakeSettings& settings,
       const Key& pair_key, Fabric& fabric, Random& random, Journal& journal = daemon_journal());

  // Where observations go, once clients are served.
  void set_observations(ObservationWriter& observations) { observations_ = &observations; }

  // What all rails publish alike is written here by the CCM; the handshake's part is this rail's own.
  StatusPageLayout& page() { return page_.draft(); }
  void publish(Instant now);
  void withdraw(Instant now);

  // One turn. `beats`: a beat is due, and looking without seeing counts; `late`: by how much the loop missed it.
  void turn(Instant now, bool beats, Duration late);
  [[nodiscard]] std::optional<Instant> next_wake() const { return handshake_.next_wake(); }
  // True where news at this descriptor is not the answer to a read of this node's: the partner does something itself.
  [[nodiscard]] bool hears_partner_at(int fd) const { return fabric_->poll_fd() == fd && !read_posted_; }
  // True where this node's own end, its interface or its device, cannot be used.
  [[nodiscard]] bool unusable() const {
    return !fabric_->trouble().empty() || self_.last_error == static_cast<std::uint8_t>(FabricError::link_down);
  }
  // Of the observations that were written since this was asked last.
  RailNews take_news() { return std::exchange(news_, RailNews::none); }
  // The last look at the partner found a page with the session's MAC.
  [[nodiscard]] bool shows_partner() const { return shows_partner_; }

  [[nodiscard]] RailId id() const { return id_; }
  [[nodiscard]] const RailName& name() const { return name_; }
  [[nodiscard]] const Handshake& handshake() const { return handshake_; }
  [[nodiscard]] const RailSelfLayout& self() const { return self_; }
  // The partner's page as the last turn read it, where it carries the session's MAC; once a page.
  std::optional<std::span<const std::byte>> take_sealed_page();
  // What concerns poison of such a page, as it was when it was judged; once a page.
  std::optional<PoisonSight> take_poison_sight();
  // A session stands, so that orders can be given and taken.
  [[nodiscard]] bool connected() const { return handshake_.session().has_value(); }
  // Gives the partner that order at the next turn; takes one that it gave over this rail, newer than `newest`.
  void give_poison(const PoisonWrite& order) { handshake_.give_poison(order); }
  std::optional<PoisonOrder> take_poison(Instant now, const PoisonOrder& newest);

 private:
  void poll_fabric(Instant now);
  void take(Instant now, const FabricEvent& event);
  void carry_out(Instant now, const HandshakeOutput& output);
  void observe(Instant now, ObservationKind kind, FabricError error, const PageJudgement* judgement);
  void measure_round_trip();
  void note_poison_sight();
  bool post_read(Instant now, std::size_t bytes);
  void count_error(FabricError error);
  void log_refusals(Instant now, const RefusalList& refusals);
  void log_trouble();

  RailId id_;
  RailName name_;
  NodeName node_;
  NodeName partner_;
  PairName pair_;
  Fabric* fabric_;
  Journal* journal_;
  Handshake handshake_;
  StatusPublisher page_;
  ObservationWriter* observations_ = nullptr;
  RailSelfLayout self_{};
  Duration late_{};
  std::string logged_trouble_;
  bool observed_since_beat_ = false;
  RailNews news_ = RailNews::none;
  bool shows_partner_ = false;
  PageNews page_news_;
  std::optional<PoisonSight> poison_sight_;
  bool sealed_ = false;
  std::uint64_t next_operation_ = 1;
  std::optional<Instant> read_posted_;
  std::size_t read_bytes_ = 0;  // of the one that is posted, or was last
  bool read_given_up_ = false;  // its completion is no observation of its own
  // When each kind was logged last, since the last session; the counters have every occurrence.
  std::array<std::optional<Instant>, kRefusalKinds> logged_refusals_;
  // The partner's page. Where it was of the session, the next read leaves the part that seldom changes as it is.
  alignas(64) std::array<std::byte, kPageBytes> read_buffer_{};
  bool still_known_ = false;
  StillDigest still_;
  std::array<std::byte, kRecordBytes> write_buffer_{};
  ObservationLayout observation_{};
};

}  // namespace hapair::ccm
