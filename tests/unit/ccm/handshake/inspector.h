// Looks into the handshake for the exploration: two machines with the same words here behave the same from now on, but
// for the time that passes.
#pragma once

#include <cstring>
#include <string>

#include "ccm/handshake/handshake.h"

namespace hapair::ccm {

struct HandshakeInspector {
  static void append(std::string& out, const void* bytes, std::size_t size) {
    out.append(static_cast<const char*>(bytes), size);
  }
  static void append(std::string& out, bool value) { out.push_back(value ? '1' : '0'); }
  static void append(std::string& out, const std::optional<HandshakeEnd>& end) {
    append(out, end.has_value());
    if (!end) return;
    const std::uint64_t incarnation = end->incarnation.value();
    append(out, &incarnation, sizeof incarnation);
    append(out, end->nonce.data(), 8);
  }
  static void append(std::string& out, const HandshakeInbox& inbox) {
    for (const HandshakeInbox::Slot* slot : {&inbox.hello_, &inbox.connected_}) {
      append(out, slot->bytes.data() + offsetof(RecordLayout, mac), 8);
      append(out, slot->settled);
      append(out, slot->torn_before);
    }
    append(out, inbox.greeted_by_);
    append(out, inbox.confirmed_);
    append(out, inbox.wrong_key_of_.value() != 0);
  }
  static void append(std::string& out, const Handshake& machine) {
    append(out, std::optional(machine.own_));
    out.push_back(static_cast<char>('a' + static_cast<int>(machine.link_)));
    append(out, machine.attempt_out_);
    append(out, machine.read_out_.has_value());
    append(out, machine.write_out_.has_value());
    if (machine.write_out_) {
      append(out, machine.write_out_->kind == RecordKind::hello);
      append(out, machine.write_out_->round == machine.round_number_);
    }
    append(out, machine.partner_);
    const Handshake::Round& round = machine.round_;
    for (const bool word :
         {round.greeted, round.hello_posted, round.hello_written, round.proof_seen, round.connected_posted,
          round.connected_written, round.partner_in_session, round.proof_wrong, round.mac_wrong}) {
      append(out, word);
    }
    append(out, machine.session_.has_value());
    append(out, machine.proof_for_.value() != 0);
    append(out, machine.page_fault_.has_value());
    append(out, machine.inbox_);
  }
  static const std::optional<Key>& round_key(const Handshake& machine) { return machine.round_key_; }
};

}  // namespace hapair::ccm
