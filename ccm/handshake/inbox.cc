#include "ccm/handshake/inbox.h"

#include <algorithm>
#include <cstring>

namespace hapair::ccm {

std::string_view text_of(RefusalKind kind) {
  switch (kind) {
    case RefusalKind::key:
      return "key";
    case RefusalKind::identity:
      return "identity";
    case RefusalKind::layout:
      return "layout";
    case RefusalKind::stale:
      return "stale";
    case RefusalKind::malformed:
      return "malformed";
  }
  return "unknown";
}

void HandshakeInbox::own_nonce_changed() {
  greeted_by_.reset();
  confirmed_ = false;
  for (Slot* slot : {&hello_, &connected_, &poison_}) {
    slot->settled = true;
    slot->counted = true;  // it was in order when it came
  }
}

void HandshakeInbox::partner_changed() {
  confirmed_ = false;
  connected_.settled = false;
}

void HandshakeInbox::poll(std::span<const std::byte> mailbox, const Nonce& own_nonce,
                          std::span<const Nonce> past_nonces, const HandshakeEnd* partner, const Key* session_key,
                          RefusalList& refusals) {
  const Nonces nonces{own_nonce, past_nonces};
  const auto slot_of = [&](RecordKind kind) { return mailbox.subspan(record_offset(kind), kRecordBytes); };
  if (changed(hello_, slot_of(RecordKind::hello)) || !hello_.settled) judge_hello(nonces, refusals);
  if (changed(connected_, slot_of(RecordKind::connected)) || !connected_.settled) {
    judge_connected(nonces, partner, session_key, refusals);
  }
}

bool HandshakeInbox::changed(Slot& slot, std::span<const std::byte> now) {
  if (std::memcmp(slot.bytes.data(), now.data(), kRecordBytes) == 0) return false;
  std::memcpy(slot.bytes.data(), now.data(), kRecordBytes);
  slot.settled = false;
  slot.counted = false;
  slot.torn_before = false;
  return true;
}

void HandshakeInbox::refuse(Slot& slot, RefusalKind kind, const RecordView& record, RefusalList& refusals) {
  if (!slot.counted) refusals.add({kind, record.pair, record.from, {}});
  slot.counted = true;
  slot.settled = true;
}

std::optional<RecordView> HandshakeInbox::read(Slot& slot, RecordKind kind, RefusalList& refusals) {
  const auto record = parse_record(slot.bytes, kind);
  if (record) {
    if (record->pair == identity_.pair && record->from == identity_.partner) return *record;
    refuse(slot, RefusalKind::identity, *record, refusals);
    return std::nullopt;
  }
  switch (record.error()) {
    case RecordError::empty:
      slot.settled = true;
      break;
    case RecordError::torn:
      // The first sight of it may be a write under way; the same bytes a poll later are garbage.
      if (slot.torn_before) refuse(slot, RefusalKind::malformed, {}, refusals);
      slot.torn_before = true;
      break;
    case RecordError::malformed:
      refuse(slot, RefusalKind::malformed, {}, refusals);
      break;
  }
  return std::nullopt;
}

bool HandshakeInbox::is_for_us(Slot& slot, const RecordView& record, const Nonces& nonces, RefusalList& refusals) {
  const bool this_life = record.to_incarnation == identity_.incarnation;
  if (this_life && record.to_nonce == nonces.own) return true;
  if (this_life && std::ranges::find(nonces.past, record.to_nonce) != nonces.past.end()) {
    slot.settled = true;
  } else {
    refuse(slot, RefusalKind::stale, record, refusals);
  }
  return false;
}

void HandshakeInbox::judge_hello(const Nonces& nonces, RefusalList& refusals) {
  const auto record = read(hello_, RecordKind::hello, refusals);
  if (!record) return;
  if (!record_is_authentic(hello_.bytes, pair_key_)) {
    wrong_key_of_ = record->from_incarnation;
    refuse(hello_, RefusalKind::key, *record, refusals);
    return;
  }
  if (!is_for_us(hello_, *record, nonces, refusals)) return;
  greeted_by_ = HandshakeEnd{record->from, record->from_incarnation, record->from_boot_id, record->from_nonce};
  wrong_key_of_ = Incarnation();
  hello_.settled = true;
}

void HandshakeInbox::judge_connected(const Nonces& nonces, const HandshakeEnd* partner, const Key* session_key,
                                     RefusalList& refusals) {
  const auto record = read(connected_, RecordKind::connected, refusals);
  if (!record) return;
  if (!is_for_us(connected_, *record, nonces, refusals)) return;
  // Its writer may be an end whose page this node has not read yet: the bytes stay unsettled until it has.
  const HandshakeEnd from{record->from, record->from_incarnation, record->from_boot_id, record->from_nonce};
  if (partner == nullptr || session_key == nullptr || from != *partner) return;
  if (!record_is_authentic(connected_.bytes, *session_key)) {
    refuse(connected_, RefusalKind::key, *record, refusals);
    return;
  }
  confirmed_ = true;
  connected_.settled = true;
}

std::optional<PoisonOrder> HandshakeInbox::poison(std::span<const std::byte> mailbox, const Nonce& own_nonce,
                                                  std::span<const Nonce> past_nonces, const HandshakeEnd& partner,
                                                  const Key& session_key, const PoisonOrder& newest,
                                                  RefusalList& refusals) {
  if (!changed(poison_, mailbox.subspan(record_offset(RecordKind::poison), kRecordBytes)) && poison_.settled) return {};
  const auto record = read(poison_, RecordKind::poison, refusals);
  if (!record || !is_for_us(poison_, *record, {own_nonce, past_nonces}, refusals)) return std::nullopt;
  const HandshakeEnd from{record->from, record->from_incarnation, record->from_boot_id, record->from_nonce};
  if (from != partner || record->to_boot_id != identity_.boot_id) {
    refuse(poison_, RefusalKind::stale, *record, refusals);
    return std::nullopt;
  }
  if (!record_is_authentic(poison_.bytes, session_key)) {
    refuse(poison_, RefusalKind::key, *record, refusals);
    return std::nullopt;
  }
  poison_.settled = true;
  const PoisonOrder order{record->from_incarnation, record->serial, record->withdrawn, record->resets};
  if (order == newest) return std::nullopt;  // over another rail, or once more
  const bool undone = newest.withdrawn && order.serial == newest.serial;
  if (order.from == newest.from && (order.serial < newest.serial || undone)) {
    refuse(poison_, RefusalKind::stale, *record, refusals);
    return std::nullopt;
  }
  return order;
}

}  // namespace hapair::ccm
