#include "tests/unit/ccm/handshake/model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "tests/unit/ccm/handshake/inspector.h"

namespace hapair::ccm::model {
namespace {

ModelRandom& the_random() {
  static ModelRandom random;
  return random;
}

HandshakeIdentity identity_of(const NodeOptions& options, std::uint64_t incarnation) {
  BootId boot;
  boot.bytes[0] = static_cast<std::uint8_t>(options.node[0]);
  return {*PairName::parse(options.pair), *NodeName::parse(options.node), *NodeName::parse(options.partner),
          Incarnation(incarnation), boot};
}

Key key_of(const NodeOptions& options) { return Key::from_secret(std::as_bytes(std::span(options.secret))); }

// Prepares the generator before the machine's constructor draws from it.
ModelRandom& random_for(ModelRandom& random, const NodeOptions& options, std::uint64_t incarnation,
                        std::uint64_t& draws) {
  random.node = static_cast<std::uint64_t>(options.node[0]) * 1000 + incarnation;
  random.draws = &draws;
  draws = 0;
  return random;
}

// Which session a record belongs to, by the first bytes of its MAC.
std::map<std::uint64_t, std::uint64_t>& sessions_of_records() {
  static std::map<std::uint64_t, std::uint64_t> sessions;
  return sessions;
}

std::uint64_t mac_word(const RecordWrite& write) {
  std::uint64_t word = 0;
  std::memcpy(&word, write.bytes.data() + offsetof(RecordLayout, mac), sizeof word);
  return word;
}

std::shared_ptr<const Page> interned(const Page& page) {
  static std::map<std::string, std::shared_ptr<const Page>> pages;
  auto& slot = pages[std::string(reinterpret_cast<const char*>(page.data()), 240)];
  if (!slot || *slot != page) slot = std::make_shared<const Page>(page);
  return slot;
}

}  // namespace

void ModelRandom::fill(std::span<std::byte> bytes) {
  std::memset(bytes.data(), 0, bytes.size());
  if (bytes.size() < kNonceBytes) return;
  const std::array<std::uint64_t, 2> words{++*draws, node};
  std::memcpy(bytes.data(), words.data(), sizeof words);
}

ModelNode::ModelNode(const NodeOptions& node_options, std::uint64_t life, ModelRandom& random)
    : options(node_options),
      incarnation(life),
      machine(identity_of(options, life), {kPace, kDeadline}, key_of(options),
              random_for(random, options, life, draws)),
      page(interned(Page{})) {}

World::World(const NodeOptions& a, const NodeOptions& b)
    : nodes{ModelNode(a, 1, the_random()), ModelNode(b, 1, the_random())} {
  publish(0);
  publish(1);
}

std::uint64_t World::short_key(const Key& key) {
  std::uint64_t word = 0;
  std::memcpy(&word, key.bytes().data(), sizeof word);
  return word;
}

template <class Event>
void World::feed(std::size_t n, Event event) {
  ModelNode& node = nodes[n];
  the_random().draws = &node.draws;
  the_random().node = static_cast<std::uint64_t>(node.options.node[0]) * 1000 + node.incarnation;
  apply(n, event(node.machine));
}

void World::publish(std::size_t n) {
  ModelNode& node = nodes[n];
  Page bytes{};
  StatusPublisher publisher(bytes);
  StatusPageLayout& draft = publisher.draft();
  const HandshakeIdentity identity = identity_of(node.options, node.incarnation);
  put_name(draft.pair, identity.pair.view());
  put_name(draft.node, identity.node.view());
  draft.incarnation = node.incarnation;
  draft.boot_id = identity.boot_id.bytes;
  draft.handshake = static_cast<std::uint8_t>(node.machine.state());
  draft.nonce = node.machine.nonce();
  draft.proof = node.machine.proof();
  draft.proof_for_incarnation = node.machine.proof_for().value();
  publisher.publish(node.machine.session());
  node.page = interned(bytes);
  if (node.machine.proof_for().value() != 0) {
    const std::uint64_t key = short_key(*HandshakeInspector::round_key(node.machine));
    proved[n].insert(key);
    unearned_proof = unearned_proof || !hello_landed[1 - n].contains(key);
  }
}

void World::apply(std::size_t n, const HandshakeOutput& out) {
  ModelNode& node = nodes[n];
  if (out.established) {
    node.established = out.established;
    ++node.sessions;
  }
  if (out.ended) {
    node.ended = out.ended;
    ++node.ends;
  }
  if (out.page) node.judgement = out.page;
  if (out.publish) publish(n);
  if (out.drop) end_operations(n, Fate::dropped);
  if (out.connect) {
    node.connection = ModelNode::Connection::attempt;
    ++node.connects;
  }
  if (out.read) {
    node.reading = true;
    node.captured.reset();
    ++node.reads;
  }
  if (out.write) {
    node.writing = out.write;
    node.landed = false;
    sessions_of_records()[mac_word(*out.write)] = short_key(*HandshakeInspector::round_key(node.machine));
    if (out.write->offset == record_offset(RecordKind::connected)) {
      confirmed[n].insert(short_key(*HandshakeInspector::round_key(node.machine)));
    }
  }
}

void World::put(std::size_t n, const RecordWrite& write) {
  const bool hello = write.offset == record_offset(RecordKind::hello);
  (hello ? hello_landed : connected_landed)[n].insert(sessions_of_records().at(mac_word(write)));
  std::ranges::copy(write.bytes, nodes[1 - n].mailbox.begin() + static_cast<std::ptrdiff_t>(write.offset));
}

// The connection is over: what is outstanding completes without effect, or with a late one.
void World::end_operations(std::size_t n, Fate fate) {
  ModelNode& node = nodes[n];
  const bool attempt = node.connection == ModelNode::Connection::attempt;
  node.connection = ModelNode::Connection::none;
  if (std::exchange(node.reading, false)) {
    node.captured.reset();
    feed(n, [&](Handshake& machine) { return machine.page_failed(now, FabricError::disconnected); });
  }
  if (node.writing) {
    if (!node.landed && fate == Fate::late) node.late.push_back(*node.writing);
    if (!node.landed && fate == Fate::landed) put(n, *node.writing);
    node.writing.reset();
    feed(n, [&](Handshake& machine) { return machine.write_done(now, FabricError::disconnected); });
  }
  if (attempt) feed(n, [&](Handshake& machine) { return machine.not_connected(now, FabricError::disconnected); });
}

bool World::tick(std::size_t n, Duration after) {
  now += after;
  feed(n, [&](Handshake& machine) { return machine.tick(now, nodes[n].mailbox); });
  return true;
}

bool World::tick_soon(std::size_t n) {
  const Instant wish = nodes[n].machine.next_wake().value_or(now);
  return tick(n, std::clamp(wish - now, Duration{}, kPace));
}

bool World::answer_connect(std::size_t n) {
  if (nodes[n].connection != ModelNode::Connection::attempt) return false;
  nodes[n].connection = ModelNode::Connection::up;
  feed(n, [&](Handshake& machine) { return machine.connected(now); });
  return true;
}

bool World::refuse_connect(std::size_t n) {
  if (nodes[n].connection != ModelNode::Connection::attempt) return false;
  nodes[n].connection = ModelNode::Connection::none;
  feed(n, [&](Handshake& machine) { return machine.not_connected(now, FabricError::not_listening); });
  return true;
}

bool World::read(std::size_t n) {
  capture(n);
  return deliver(n);
}

bool World::write(std::size_t n) {
  land(n);
  return acknowledge(n);
}

bool World::capture(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.connection != ModelNode::Connection::up || !node.reading || node.captured) return false;
  node.captured = nodes[1 - n].page;
  return true;
}

bool World::deliver(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.connection != ModelNode::Connection::up || !node.reading || !node.captured) return false;
  node.reading = false;
  const auto bytes = std::exchange(node.captured, nullptr);
  StillDigest still;
  feed(n, [&](Handshake& machine) { return machine.page(now, *bytes, still); });
  return true;
}

bool World::land(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.connection != ModelNode::Connection::up || !node.writing || node.landed) return false;
  put(n, *node.writing);
  node.landed = true;
  return true;
}

bool World::acknowledge(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.connection != ModelNode::Connection::up || !node.writing || !node.landed) return false;
  node.writing.reset();
  feed(n, [&](Handshake& machine) { return machine.write_done(now, FabricError::none); });
  return true;
}

bool World::land_late(std::size_t n) {
  ModelNode& node = nodes[n];
  if (node.late.empty()) return false;
  const RecordWrite write = node.late.front();
  node.late.erase(node.late.begin());
  put(n, write);
  return true;
}

bool World::notice_broken(std::size_t n) {
  if (nodes[n].connection != ModelNode::Connection::broken) return false;
  // Completions first here, the event of the connection after them; `lose` has it the other way round.
  end_operations(n, Fate::dropped);
  feed(n, [&](Handshake& machine) { return machine.lost(now, FabricError::disconnected); });
  return true;
}

bool World::lose(std::size_t n, Fate fate) {
  if (nodes[n].connection != ModelNode::Connection::up) return false;
  feed(n, [&](Handshake& machine) { return machine.lost(now, FabricError::disconnected); });
  end_operations(n, fate);
  return true;
}

bool World::deadline(std::size_t n, Fate fate) {
  ModelNode& node = nodes[n];
  if (node.connection != ModelNode::Connection::up || (!node.reading && !node.writing)) return false;
  if (node.writing && !node.landed) {
    if (fate == Fate::late) node.late.push_back(*node.writing);
    if (fate == Fate::landed) put(n, *node.writing);
    node.landed = true;
  }
  return tick(n, kDeadline);
}

bool World::restart(std::size_t n, bool partner_notices, Fate fate) {
  ModelNode& old = nodes[n];
  std::vector<RecordWrite> late = old.late;
  if (fate == Fate::late && old.writing && !old.landed) late.push_back(*old.writing);
  if (fate == Fate::landed && old.writing && !old.landed) put(n, *old.writing);
  ModelNode fresh(old.options, old.incarnation + 1, the_random());
  fresh.late = late;
  nodes[n] = fresh;
  publish(n);
  ModelNode& other = nodes[1 - n];
  if (partner_notices && other.connection == ModelNode::Connection::up) {
    other.connection = ModelNode::Connection::broken;
  }
  return true;
}

bool World::connected() const {
  const auto& a = nodes[0].machine.session();
  const auto& b = nodes[1].machine.session();
  return a && b && *a == *b;
}

bool World::settle(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
      while (land_late(n)) {
      }
      notice_broken(n);
      answer_connect(n);
      capture(n);
      deliver(n);
      land(n);
      acknowledge(n);
      tick(n, kPace / 2);
    }
  }
  return connected();
}

std::string World::broken_rule() const {
  const auto& a = nodes[0].machine.session();
  const auto& b = nodes[1].machine.session();
  if (unearned_proof) return "a node proved itself to an end that had not greeted it";
  if (a && b && *a != *b) return "both are connected, under different session keys";
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    const auto& session = nodes[n].machine.session();
    if (!session) continue;
    const std::uint64_t key = short_key(*session);
    const std::string who = nodes[n].options.node + " is connected";
    if (!proved[1 - n].contains(key)) return who + ", but its partner has not proved itself to it";
    if (!confirmed[1 - n].contains(key)) return who + ", but its partner has not confirmed";
    if (!connected_landed[n].contains(key)) return who + ", but its own confirmation was never written";
    if (nodes[n].connection == ModelNode::Connection::none) return who + " without a connection";
  }
  return {};
}

std::string World::words() const {
  std::string out;
  for (const ModelNode& node : nodes) {
    HandshakeInspector::append(out, node.machine);
    out.push_back(static_cast<char>('a' + static_cast<int>(node.connection)));
    HandshakeInspector::append(out, node.reading);
    const Page* captured = node.captured.get();
    HandshakeInspector::append(out, &captured, sizeof captured);
    const Page* page = node.page.get();
    HandshakeInspector::append(out, &page, sizeof page);
    HandshakeInspector::append(out, node.writing.has_value());
    if (node.writing) HandshakeInspector::append(out, node.writing->bytes.data() + offsetof(RecordLayout, mac), 8);
    HandshakeInspector::append(out, node.landed);
    for (const RecordWrite& write : node.late) {
      HandshakeInspector::append(out, write.bytes.data() + offsetof(RecordLayout, mac), 8);
    }
    for (const RecordKind kind : {RecordKind::hello, RecordKind::connected}) {
      HandshakeInspector::append(out, node.mailbox.data() + record_offset(kind) + offsetof(RecordLayout, mac), 8);
    }
  }
  for (const auto& keys : {proved[0], proved[1], confirmed[0], confirmed[1]}) {
    out.push_back('|');
    for (const std::uint64_t key : keys) HandshakeInspector::append(out, &key, sizeof key);
  }
  return out;
}

}  // namespace hapair::ccm::model
