// What each node proves to the other, and the key that both derive. Every byte that a handshake rests on goes in at a
// fixed width: pair, names, incarnations, boot ids and nonces of both ends.
#pragma once

#include "ccm/base/ids.h"
#include "ccm/wire/mac.h"

namespace hapair::ccm {

// One end of a handshake, as this node knows it. A changed incarnation or nonce is another end: what was proved to the
// earlier one counts for nothing.
struct HandshakeEnd {
  NodeName node;
  Incarnation incarnation;
  BootId boot_id;
  Nonce nonce{};
  bool operator==(const HandshakeEnd&) const = default;
};

// "I, the prover, hold the pair's key, am running, and have seen the challenger's hello": what a status page carries.
Mac proof_of(const Key& pair_key, const PairName& pair, const HandshakeEnd& prover, const HandshakeEnd& challenger);

// The same on both nodes: the ends are ordered by name.
Key session_key_of(const Key& pair_key, const PairName& pair, const HandshakeEnd& one, const HandshakeEnd& other);

}  // namespace hapair::ccm
