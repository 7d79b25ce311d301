// This node's end of one port over shm: its own connection, over which it moves bytes straight between its memory and
// the partner's, and the partner's connection, which does the same with what is exposed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/port_book.h"
#include "ccm/fabric/shm/message_ring.h"
#include "ccm/fabric/shm/port_file.h"
#include "ccm/fabric/shm/port_socket.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm {

class ShmPortEnd {
 public:
  // What a port moves in one turn, so that it does not keep the others waiting.
  static constexpr std::size_t kPieceBytes = std::size_t{512} * 1024;

  static std::expected<std::unique_ptr<ShmPortEnd>, std::string> make(PortId id, const PortToken& token,
                                                                      const PortExposure& exposure);
  [[nodiscard]] PortBook& book() { return book_; }
  [[nodiscard]] bool is_token(const PortToken& shown) const { return !book_.removed() && same_token(token_, shown); }
  std::optional<PortEvent> next_event() { return book_.next_event(); }
  [[nodiscard]] bool removed() const { return book_.removed(); }
  [[nodiscard]] bool drained() const { return book_.drained(); }

  // ---- own connection; its socket is told to `epoll` under `number`
  struct Way {
    const std::string& partner;  // where it listens
    PortPath::State path;
    Duration retry_timeout;
    Duration answer_timeout;
    const Fd& epoll;
    std::uint64_t number;
  };
  void connect(Instant now, const PortToken& partner_token);
  void drop();
  bool post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from);
  bool post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into);
  bool post_send(Instant now, OperationId id, std::span<const std::byte> message);
  // Takes what its socket has; work() then does one turn. In this order: what ends the process at the other end has
  // ended the power of its machine before.
  void hear_own();
  void work(Instant now, const Way& way);
  [[nodiscard]] bool has_work() const { return book_.up() && next_ < works_.size(); }

  // ---- the partner's connection
  enum class Broken : std::uint8_t { no, right, rule };
  // Answers its request in place of the connection of before. False: there is no memory or descriptor left for it.
  bool take_partner(Fd socket, const Fd& epoll, std::uint64_t number);
  Broken hear_partner();
  void work_partner(PortPath::State path);

  // From here on only what was not polled yet is left of it; see shm_port_fabric.h for what a partner can still do.
  void remove();

 private:
  struct Work {
    enum class Kind : std::uint8_t { write, read, send };
    Kind kind = Kind::write;
    std::uint64_t offset = 0;
    const std::byte* from = nullptr;
    std::byte* into = nullptr;
    std::size_t bytes = 0;
    std::size_t moved = 0;
    std::uint64_t message = 0;  // of a send that was placed: its number
  };
  // What the partner exposes.
  struct Remote {
    PosterRing ring;
    Mapping memory;
    std::uint32_t length = 0;
    bool reads = false;
    bool writes = false;
  };

  ShmPortEnd(PortId id, const PortToken& token, const PortExposure& exposure);
  void ask(Instant now, const Way& way);
  void work_attempt(Instant now, const Way& way);
  void end(FabricError first, FabricError why);
  void forget_own();
  void end_where_late(Instant now, Duration limit);
  bool post(Instant now, OperationId id, const Work& work);
  [[nodiscard]] bool within(std::uint64_t offset, std::size_t bytes) const;
  void carry_out(Instant now);
  [[nodiscard]] std::size_t carry_piece(Work& work, std::size_t budget);
  void complete(Instant now);
  [[nodiscard]] bool has_right(const Work& work) const;
  static std::optional<Remote> remote_of(const PortPacket& answer);
  void close_partner();

  PortBook book_;
  PortToken token_;
  std::uint32_t length_;
  bool partner_reads_;
  bool partner_writes_;
  Fd shared_;  // what the partner gets; none where it may neither read nor write

  PortToken partner_token_{};
  Fd own_;
  std::optional<PortPacket> answer_;  // heard, and not looked at while the link is cut
  bool own_ended_ = false;
  std::optional<Remote> remote_;
  Instant progress_;                                // when last something moved, while something is awaited
  FixedRing<Work, PortFabric::kQueueDepth> works_;  // as the book's operations
  std::size_t next_ = 0;                            // those before it are carried out

  Fd partners_;
  bool partner_ended_ = false;
  std::optional<ExposerRing> ring_;
};

}  // namespace hapair::ccm
