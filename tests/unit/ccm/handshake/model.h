// Two handshake machines over a model of memory. Every step of the world is an action that a test, or an exploration,
// chooses: reads are captured and delivered apart, writes land and are acknowledged apart, a write of a lost connection
// may land late, and a node may lose its life and begin another at any point.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ccm/handshake/handshake.h"

namespace hapair::ccm::model {

inline constexpr Duration kPace = std::chrono::milliseconds(10);
inline constexpr Duration kDeadline = std::chrono::hours(1);  // reached only by the action that means it

using Page = std::array<std::byte, kPageBytes>;

// Nonces that tell whose they are and in which order they were drawn; jitter is none.
class ModelRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override;
  std::uint64_t* draws = nullptr;  // of the node whose turn it is
  std::uint64_t node = 0;
};

struct NodeOptions {
  std::string pair = "pair";
  std::string node;
  std::string partner;
  std::string secret = "0123456789abcdef0123456789abcdef";
};

class World;

struct ModelNode {
  ModelNode(const NodeOptions& options, std::uint64_t incarnation, ModelRandom& random);

  NodeOptions options;
  std::uint64_t incarnation;
  std::uint64_t draws = 0;
  Handshake machine;
  std::shared_ptr<const Page> page;                   // as published last
  std::array<std::byte, 2 * kRecordBytes> mailbox{};  // the two slots that the handshake reads

  // This node's connection to the other one and what is outstanding on it.
  enum class Connection : std::uint8_t { none, attempt, up, broken } connection = Connection::none;
  bool reading = false;
  std::shared_ptr<const Page> captured;
  std::optional<RecordWrite> writing;
  bool landed = false;
  std::vector<RecordWrite> late;  // of lost connections, may still land in the partner's mailbox

  std::optional<Duration> established;  // of the last session
  std::optional<SessionEnd> ended;
  std::optional<PageJudgement> judgement;
  int sessions = 0;
  int ends = 0;
  int connects = 0;
  int reads = 0;
};

// Of a write that was posted and not acknowledged when its connection ended.
enum class Fate : std::uint8_t { dropped, landed, late };

class World {
 public:
  World(const NodeOptions& a, const NodeOptions& b);
  World(const World&) = default;
  World& operator=(const World&) = default;

  Instant now{std::chrono::seconds(100)};
  std::array<ModelNode, 2> nodes;
  // What each node has ever proved, and confirmed, by the first bytes of the session's key that it stands for.
  std::array<std::set<std::uint64_t>, 2> proved;
  std::array<std::set<std::uint64_t>, 2> confirmed;
  // Whose hello and whose "connected" have reached the partner's mailbox, by the same word.
  std::array<std::set<std::uint64_t>, 2> hello_landed;
  std::array<std::set<std::uint64_t>, 2> connected_landed;
  bool unearned_proof = false;  // a proof was published to an end that had not greeted this nonce

  // Actions on node `n`; each returns false where it has no meaning now.
  bool tick(std::size_t n, Duration after);
  bool tick_soon(std::size_t n);  // at the machine's own wish
  bool answer_connect(std::size_t n);
  bool read(std::size_t n);   // captured and delivered in one
  bool write(std::size_t n);  // landed and acknowledged in one
  bool refuse_connect(std::size_t n);
  bool capture(std::size_t n);
  bool deliver(std::size_t n);
  bool land(std::size_t n);
  bool acknowledge(std::size_t n);
  bool land_late(std::size_t n);
  bool notice_broken(std::size_t n);
  // Faults.
  bool lose(std::size_t n, Fate fate);
  bool deadline(std::size_t n, Fate fate);
  // The partner's connection breaks with it, or goes on into the new life's memory unnoticed.
  bool restart(std::size_t n, bool partner_notices, Fate fate);

  // No more faults: both run, everything arrives. True when both are connected under one key.
  bool settle(int rounds);
  [[nodiscard]] bool connected() const;

  // Nothing, or the sentence of the rule that is broken.
  [[nodiscard]] std::string broken_rule() const;
  [[nodiscard]] std::string words() const;

  static std::uint64_t short_key(const Key& key);

 private:
  void apply(std::size_t n, const HandshakeOutput& out);
  void publish(std::size_t n);
  void put(std::size_t n, const RecordWrite& write);
  void end_operations(std::size_t n, Fate fate);
  template <class Event>
  void feed(std::size_t n, Event event);
};

}  // namespace hapair::ccm::model
