#include "ccm/handshake/handshake.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

// Between two looks while the partner's steps follow each other. Sixteen of them outlast one pace of a partner that has
// just begun; then the waits double up to the pace.
constexpr Duration kQuickWait = std::chrono::microseconds(500);
constexpr int kQuickTries = 16;
constexpr int kSlackShare = 8;            // of a pace: see slack_
constexpr int kBeatShare = 2;             // of a pace: a read that is due so soon comes with the beat
constexpr int kRewritePaces = 1;          // until a record without effect is written again
constexpr int kRefusedRewritePaces = 10;  // the same while the partner is refused: only the operator can change that

}  // namespace

std::string_view text_of(SessionEnd end) {
  switch (end) {
    case SessionEnd::partner_restarted:
      return "the partner's CCM restarted";
    case SessionEnd::partner_renewed:
      return "the partner began a new handshake";
    case SessionEnd::not_the_partner:
      return "the page at the partner's address is no longer the partner's";
    case SessionEnd::connection_lost:
      return "the connection was lost";
    case SessionEnd::deadline:
      return "an operation had no answer within its deadline";
  }
  return "unknown";
}

Handshake::Handshake(const HandshakeIdentity& identity, const HandshakeSettings& settings, const Key& pair_key,
                     Random& random)
    : identity_(identity),
      settings_(settings),
      pair_key_(pair_key),
      random_(&random),
      own_{identity.node, identity.incarnation, identity.boot_id, {}},
      inbox_(identity, pair_key) {
  HAPAIR_CHECK(identity.incarnation.value() != 0, "0 means that no incarnation was seen");
  HAPAIR_CHECK(identity.node != identity.partner, "the configuration refuses a node that is its own partner");
  random_->fill(std::as_writable_bytes(std::span(own_.nonce)));
  slack_ = settings_.pace / kSlackShare;
}

HandshakeOutput Handshake::tick(Instant now, std::span<const std::byte> mailbox) {
  HandshakeOutput out;
  const auto greeted_before = inbox_.greeted_by();
  inbox_.poll(mailbox, own_.nonce, past_nonces_, partner_ ? &*partner_ : nullptr, round_key_ ? &*round_key_ : nullptr,
              out.refusals);
  for (const Refusal& refusal : out.refusals.items()) count(refusal);
  if (inbox_.greeted_by() && inbox_.greeted_by() != greeted_before) {
    // It is there, and it waits: this is no time to sit out the wait for an absent partner.
    progress(now);
    next_connect_ = std::min(next_connect_, now);
    if (link_ == Link::connecting && now - attempt_at_ >= settings_.pace) {
      give_up_attempt(now, FabricError::disconnected, out);
    }
  }
  advance(now, out);
  return finish(out);
}

std::optional<PoisonOrder> Handshake::take_poison(std::span<const std::byte> mailbox, const PoisonOrder& newest,
                                                  RefusalList& refusals) {
  if (!session_ || !partner_) return std::nullopt;
  const auto order = inbox_.poison(mailbox, own_.nonce, past_nonces_, *partner_, *session_, newest, refusals);
  for (const Refusal& refusal : refusals.items()) count(refusal);
  return order;
}

void Handshake::beat(Instant now) {
  if (session_ && now + settings_.pace / kBeatShare + slack_ >= next_read_) next_read_ = std::min(next_read_, now);
}

HandshakeOutput Handshake::connected(Instant now) {
  HandshakeOutput out;
  attempt_out_ = false;
  if (link_ == Link::draining) drained();
  if (link_ == Link::connecting) {
    link_ = Link::up;
    next_read_ = now;
    advance(now, out);
  }
  return finish(out);
}

HandshakeOutput Handshake::not_connected(Instant now, FabricError /*error*/) {
  HandshakeOutput out;
  attempt_out_ = false;
  if (link_ == Link::draining) drained();
  if (link_ == Link::connecting) {
    link_ = Link::idle;
    next_connect_ = std::max(now, attempt_at_ + settings_.pace);
  }
  return finish(out);
}

HandshakeOutput Handshake::lost(Instant now, FabricError /*error*/) {
  HandshakeOutput out;
  if (link_ == Link::up) fail_link(now, SessionEnd::connection_lost, std::nullopt, out);
  return finish(out);
}

HandshakeOutput Handshake::page_failed(Instant now, FabricError error) {
  HandshakeOutput out;
  read_out_.reset();
  if (link_ == Link::draining) drained();
  if (link_ == Link::up) fail_link(now, SessionEnd::connection_lost, error, out);
  return finish(out);
}

void Handshake::read_goes_on(Instant now) {
  if (read_out_) read_out_ = now;
}

HandshakeOutput Handshake::write_done(Instant now, FabricError error) {
  HandshakeOutput out;
  const auto done = std::exchange(write_out_, std::nullopt);
  if (link_ == Link::draining) drained();
  if (link_ != Link::up) return finish(out);
  if (error != FabricError::none) {
    fail_link(now, SessionEnd::connection_lost, error, out);
    return finish(out);
  }
  if (done && done->round == round_number_) {
    if (done->kind == RecordKind::hello) round_.hello_written = true;
    if (done->kind == RecordKind::connected) round_.connected_written = true;
  }
  advance(now, out);
  return finish(out);
}

HandshakeOutput Handshake::page(Instant now, std::span<const std::byte> bytes, StillDigest& still) {
  HandshakeOutput out;
  const Instant posted = read_out_.value_or(now);
  read_out_.reset();
  if (link_ == Link::draining) drained();
  if (link_ != Link::up) return finish(out);

  const auto head = parse_status_head(bytes);
  if (!head) {
    out.page = page_is_no_page(bytes, head.error(), out);
  } else if (head->pair != identity_.pair || head->node != identity_.partner) {
    out.page = foreign_page({RefusalKind::identity, head->pair, head->node, {}}, PageError::not_a_page, out);
  } else {
    page_fault_.reset();
    const HandshakeEnd end{head->node, head->incarnation, head->boot_id, head->nonce};
    if (partner_ != end) adopt_partner(now, end, out);
    look_at_proof(now, *head, out);
    const bool authentic = round_.proof_seen && round_key_ && page_is_authentic(bytes, still, *round_key_);
    out.page = judge_mac(authentic, *head, out);
  }
  next_read_ = session_ ? std::max(posted + settings_.pace + slack_, now) : now + next_wait();
  advance(now, out);
  return finish(out);
}

// ---- pages -----------------------------------------------------------------------------------------------------

PageJudgement Handshake::page_is_no_page(std::span<const std::byte> bytes, PageError error, HandshakeOutput& out) {
  switch (error) {
    case PageError::torn:
      break;  // its writer is at work: look again
    case PageError::not_a_page: {
      // All zero is a partner that has not published yet; anything else is nobody's page.
      const bool blank = std::ranges::all_of(bytes.first(std::min(bytes.size(), sizeof kStatusMagic)),
                                             [](std::byte b) { return b == std::byte{0}; });
      if (!blank) return foreign_page({RefusalKind::malformed, {}, {}, {}}, error, out);
      break;
    }
    case PageError::no_layout:
      return foreign_page({RefusalKind::layout, {}, {}, layouts_of(bytes)}, error, out);
    case PageError::malformed:
      return foreign_page({RefusalKind::malformed, {}, {}, {}}, error, out);
    case PageError::not_authentic:
      break;  // judge_mac() says that of a page that was parsed
  }
  return {false, error, PageProof::none};
}

PageJudgement Handshake::foreign_page(const PageFault& fault, PageError error, HandshakeOutput& out) {
  if (page_fault_ != fault) {
    const Refusal refusal{fault.kind, fault.pair, fault.node, fault.layouts};
    count(refusal);
    out.refusals.add(refusal);
  }
  page_fault_ = fault;
  end_session(SessionEnd::not_the_partner, out);
  forget_partner();
  return {false, error, PageProof::none};
}

void Handshake::look_at_proof(Instant now, const StatusHead& head, HandshakeOutput& out) {
  if (round_.proof_seen || head.proof_for != own_.incarnation) return;
  const auto proof_over = [&](const Nonce& nonce) {
    HandshakeEnd own = own_;
    own.nonce = nonce;
    return proof_of(pair_key_, identity_.pair, *partner_, own);
  };
  if (same(head.proof, proof_over(own_.nonce))) {
    round_.proof_seen = true;
    round_.proof_wrong = false;
    round_.partner_proof = head.proof;
    progress(now);
    return;
  }
  if (std::ranges::any_of(past_nonces_, [&](const Nonce& nonce) { return same(head.proof, proof_over(nonce)); }))
    return;
  round_.proof_wrong = true;
  if (head.proof == refused_proof_) return;
  refused_proof_ = head.proof;
  const Refusal refusal{RefusalKind::key, head.pair, head.node, {}};
  count(refusal);
  out.refusals.add(refusal);
}

PageJudgement Handshake::judge_mac(bool authentic, const StatusHead& head, HandshakeOutput& out) {
  if (authentic) {
    round_.partner_in_session = true;
    round_.mac_wrong = false;
    return {true, {}, PageProof::session};
  }
  const bool proved = round_.proof_seen && head.proof == round_.partner_proof;
  const PageProof proof = proved ? PageProof::handshake : PageProof::none;
  // The partner may need one more look until it is connected too, and until then it has no key to sign with.
  if (!session_ || !round_.partner_in_session) return {true, {}, proof};
  if (!round_.mac_wrong) {
    const Refusal refusal{RefusalKind::key, head.pair, head.node, {}};
    count(refusal);
    out.refusals.add(refusal);
  }
  round_.mac_wrong = true;
  return {false, PageError::not_authentic, PageProof::none};
}

void Handshake::count(const Refusal& refusal) {
  switch (refusal.kind) {
    case RefusalKind::key:
      ++refused_.key;
      break;
    case RefusalKind::identity:
      ++refused_.identity;
      refused_.foreign_pair = refusal.pair;
      refused_.foreign_node = refusal.node;
      break;
    case RefusalKind::layout:
      ++refused_.layout;
      refused_.foreign_layouts = refusal.layouts;
      break;
    case RefusalKind::stale:
      ++refused_.stale;
      break;
    case RefusalKind::malformed:
      ++refused_.malformed;
      break;
  }
}

// ---- rounds ----------------------------------------------------------------------------------------------------

void Handshake::draw_nonce() {
  past_nonces_[next_past_nonce_] = own_.nonce;
  next_past_nonce_ = (next_past_nonce_ + 1) % kPastNonces;
  random_->fill(std::as_writable_bytes(std::span(own_.nonce)));
  inbox_.own_nonce_changed();
}

void Handshake::begin_round() {
  ++round_number_;
  round_ = Round{};
  round_key_.reset();
  proof_ = {};
  proof_for_ = Incarnation();
}

void Handshake::forget_partner() {
  if (!partner_) return;
  partner_.reset();
  inbox_.partner_changed();
  begin_round();
}

void Handshake::adopt_partner(Instant now, const HandshakeEnd& end, HandshakeOutput& out) {
  if (partner_) {
    end_session(partner_->incarnation == end.incarnation ? SessionEnd::partner_renewed : SessionEnd::partner_restarted,
                out);
  }
  partner_ = end;
  inbox_.partner_changed();
  begin_round();
  round_.seen_at = now;
  round_key_ = session_key_of(pair_key_, identity_.pair, own_, end);
  progress(now);
}

void Handshake::end_session(SessionEnd why, HandshakeOutput& out) {
  if (session_) out.ended = why;
  session_.reset();
  poison_to_give_.reset();
}

void Handshake::fail_link(Instant now, SessionEnd why, std::optional<FabricError> drop, HandshakeOutput& out) {
  out.drop = drop;
  out.connect = false;
  out.read = false;
  out.write.reset();
  end_session(why, out);
  draw_nonce();
  forget_partner();
  begin_round();
  page_fault_.reset();
  link_ = Link::draining;
  next_connect_ = now + next_wait();
  drained();
}

// One that began before the partner was there may have no answer for as long as the deadline: whoever greets meanwhile
// is connected to anew. Nothing was established, so nothing is lost: the nonce stays.
void Handshake::give_up_attempt(Instant next, FabricError why, HandshakeOutput& out) {
  out.drop = why;
  link_ = Link::draining;
  next_connect_ = next;
  drained();
}

void Handshake::drained() {
  if (!attempt_out_ && !read_out_ && !write_out_) link_ = Link::idle;
}

bool Handshake::refusing() const {
  if (page_fault_ && page_fault_->kind != RefusalKind::malformed) return true;
  if (!partner_ || round_.proof_seen) return false;
  return round_.proof_wrong || inbox_.wrong_key_of() == partner_->incarnation;
}

HandshakeState Handshake::state() const {
  if (session_) return HandshakeState::connected;
  if (refusing()) return HandshakeState::refused;
  if (round_.proof_seen) return HandshakeState::confirming;
  if (round_.hello_written) return HandshakeState::proving;
  if (round_.hello_posted) return HandshakeState::greeting;
  return HandshakeState::searching;
}

// ---- pace ------------------------------------------------------------------------------------------------------

void Handshake::progress(Instant now) {
  quick_left_ = kQuickTries;
  wait_ = std::min(kQuickWait, settings_.pace);
  next_read_ = std::min(next_read_, now + wait_);
}

Duration Handshake::next_wait() {
  if (refusing()) return settings_.pace;
  if (quick_left_ > 0) {
    --quick_left_;
    return std::min(kQuickWait, settings_.pace);
  }
  wait_ = std::clamp(2 * wait_, std::min(kQuickWait, settings_.pace), settings_.pace);
  // Up to a quarter shorter, so that two nodes do not keep missing each other in step.
  std::byte jitter{};
  random_->fill(std::span(&jitter, 1));
  return wait_ - wait_ / 4 * std::to_integer<int>(jitter) / 255;
}

std::optional<Instant> Handshake::next_wake() const {
  switch (link_) {
    case Link::idle:
      return next_connect_;
    case Link::connecting:
      return attempt_at_ + settings_.operation_deadline;
    case Link::draining:
      return std::nullopt;
    case Link::up:
      break;
  }
  Instant wake = read_out_ ? *read_out_ + settings_.operation_deadline : next_read_;
  if (write_out_) wake = std::min(wake, write_out_->posted + settings_.operation_deadline);
  return wake;
}

// ---- steps -----------------------------------------------------------------------------------------------------

void Handshake::advance(Instant now, HandshakeOutput& out) {
  answer_greeting(now);
  establish_if_complete(now, out);
  enforce_deadline(now, out);
  if (link_ == Link::up) {
    write_if_due(now, out);
    read_if_due(now, out);
  } else if (link_ == Link::idle && now + slack_ >= next_connect_ && !out.drop) {
    link_ = Link::connecting;
    attempt_out_ = true;
    attempt_at_ = now;
    out.connect = true;
  }
}

// The partner holds the key and saw this node's nonce: prove the same to it. What it greeted from must be the end whose
// page this node reads, or the proof would be to somebody who is no longer there.
void Handshake::answer_greeting(Instant now) {
  if (round_.greeted || !partner_ || inbox_.greeted_by() != partner_) return;
  round_.greeted = true;
  round_.greeted_at = now;
  proof_ = proof_of(pair_key_, identity_.pair, own_, *partner_);
  proof_for_ = partner_->incarnation;
  progress(now);
}

void Handshake::establish_if_complete(Instant now, HandshakeOutput& out) {
  if (session_ || link_ != Link::up || !partner_) return;
  if (!round_.greeted || !round_.proof_seen || !round_.connected_written || !inbox_.confirmed()) return;
  HAPAIR_CHECK(round_key_.has_value(), "a round with a partner has its key");
  session_ = round_key_;
  out.established = now - std::max(round_.seen_at, round_.greeted_at);
}

void Handshake::enforce_deadline(Instant now, HandshakeOutput& out) {
  const auto late = [&](Instant posted) { return now - posted >= settings_.operation_deadline; };
  if (link_ == Link::connecting && late(attempt_at_)) {
    give_up_attempt(now + settings_.pace, FabricError::deadline, out);
  }
  if (link_ == Link::up && ((read_out_ && late(*read_out_)) || (write_out_ && late(write_out_->posted)))) {
    fail_link(now, SessionEnd::deadline, FabricError::deadline, out);
  }
}

void Handshake::write_if_due(Instant now, HandshakeOutput& out) {
  if (write_out_ || !partner_) return;
  if (poison_to_give_) {
    out.write = poison_record(*std::exchange(poison_to_give_, std::nullopt));
    write_out_ = PendingWrite{RecordKind::poison, round_number_, now};
    return;
  }
  const bool again = now >= round_.rewrite_at;
  RecordKind kind = RecordKind::hello;
  if (!round_.proof_seen) {
    if (round_.hello_posted && !again) return;
    round_.hello_posted = true;
  } else {
    if (round_.connected_posted && (round_.partner_in_session || !again)) return;
    kind = RecordKind::connected;
    round_.connected_posted = true;
  }
  const RecordView record{kind,         identity_.pair, identity_.node, own_.incarnation, partner_->incarnation,
                          own_.boot_id, own_.nonce,     partner_->nonce};
  out.write = RecordWrite{record_offset(kind),
                          encode_record(record, kind == RecordKind::hello ? pair_key_ : round_key_.value())};
  write_out_ = PendingWrite{kind, round_number_, now};
  round_.rewrite_at = now + settings_.pace * (refusing() ? kRefusedRewritePaces : kRewritePaces);
}

RecordWrite Handshake::poison_record(const PoisonWrite& order) const {
  RecordView record{RecordKind::poison,    identity_.pair, identity_.node, own_.incarnation,
                    partner_->incarnation, own_.boot_id,   own_.nonce,     partner_->nonce};
  record.to_boot_id = partner_->boot_id;
  record.serial = order.serial;
  record.withdrawn = order.withdrawn;
  record.resets = order.resets;
  return {record_offset(RecordKind::poison), encode_record(record, session_.value())};
}

void Handshake::read_if_due(Instant now, HandshakeOutput& out) {
  if (read_out_ || now < next_read_) return;
  read_out_ = now;
  out.read = true;
}

HandshakeOutput Handshake::finish(HandshakeOutput out) {
  const Published current{state(), round_number_, proof_for_.value() != 0, session_.has_value()};
  out.publish = current != published_;
  published_ = current;
  return out;
}

}  // namespace hapair::ccm
