// Ports over shm: between two processes of one machine that share the folder `dir`, each in namespaces of its own if it
// likes. A node listens at DIR/NODE.ports (a Unix socket); whoever shows a port's token there gets the descriptor of
// its memory and of a ring for messages, and from then on moves bytes straight between the two memories: writes and
// reads need nothing of the partner's process, which may stand; connecting and messages need it.
//
// | what is found                                  | connect        | operation, and then the connection           |
// | own link down                                  | link_down      | link_down, lost (link_down)                  |
// | the partner's link down or its machine off     | retry_exceeded | retry_exceeded, lost (same), in retry_timeout|
// | its process stands                             | retry_exceeded | a send as above, in answer_timeout           |
// | nobody listens                                 | not_listening  |                                              |
// | nobody has the token, or the answer is no such | refused        |                                              |
// | its process died, or took the port back        | disconnected   | disconnected, lost (disconnected)            |
// | no right to its memory                         |                | remote_access, lost (remote_access)          |
// Times run only while poll() is called, as everywhere (port_fabric.h).
//
// What protects the exposed memory, and from whom:
//  - A partner without the right to write gets a descriptor that was opened read-only, and no mapping of it becomes
//    writable. A process of the same user can open the memory anew through /proc: who has to fear that seals its memfd
//    with F_SEAL_FUTURE_WRITE once it has mapped it.
//  - A partner with the right to write, and not to read, can map the memory, so it could read it; this library does
//    not: it is refused, and told to the exposing side, which counts it.
//  - remove(), and a connection that replaces another, revoke by a word that this library looks at before every piece.
//    remove() waits a bounded time for a piece that is being moved; only where the partner's process was stopped in
//    the midst of one (at most ShmPortEnd::kPieceBytes) can the rest of it still come later. A partner that does not
//    follow this library keeps its mapping for ever. Neither reaches anything but that memfd: whoever gives each add()
//    a memfd of its own is safe from both.
//  - The memory cannot be shortened (seals), and what comes from the partner is mapped only where it cannot be either.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "ccm/fabric/port_fabric.h"
#include "ccm/fabric/shm/port_file.h"
#include "ccm/fabric/shm/shm_fabric.h"
#include "ccm/fabric/shm/shm_port_end.h"

namespace hapair::ccm {

class ShmPortFabric final : public PortFabric {
 public:
  explicit ShmPortFabric(ShmSettings settings);
  ~ShmPortFabric() override;

  std::expected<void, std::string> open() override;
  // Refused: more than kMaxPorts, 4 GiB and more of memory, or memory that is no memfd which can be sealed.
  std::expected<void, std::string> add(PortId port, const PortToken& own_token, const PortExposure& exposure) override;
  void remove(Instant now, PortId port) override;
  void connect(Instant now, PortId port, const PortToken& partner_token) override;
  void drop(Instant now, PortId port) override;
  bool post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                  std::span<const std::byte> from) override;
  bool post_read(Instant now, PortId port, OperationId id, std::uint64_t offset, std::span<std::byte> into) override;
  bool post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) override;
  bool post_receive(PortId port, OperationId id, std::span<std::byte> into) override;
  std::size_t poll(Instant now, std::span<PortEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return epoll_.get(); }
  [[nodiscard]] const PortFabricCounters& counters() const override { return counters_; }
  [[nodiscard]] std::string_view kind() const override { return "shm"; }

 private:
  static constexpr std::size_t kNewcomers = 8;  // connected, and not let in yet
  struct Newcomer {
    Fd socket;
    Instant since;
    std::optional<PortToken> token;  // of its request, where the port cannot take it yet
  };

  [[nodiscard]] ShmPortEnd* find(PortId port);
  bool posted(bool done);
  void set_work(bool there);
  [[nodiscard]] bool has_events();
  [[nodiscard]] bool has_work();
  void turn(Instant now);
  void hear(Instant now);
  void hear(Instant now, std::uint64_t number);
  void accept_all(Instant now);
  void hear_newcomer(Newcomer& newcomer);
  void let_in(Newcomer& newcomer);
  void check_newcomers(Instant now);

  ShmSettings settings_;
  std::string own_path_;
  std::string partner_path_;
  PortPath path_;
  bool path_open_ = false;  // at the last turn
  Fd lock_;
  Fd listener_;
  Fd epoll_;
  Fd work_;  // an eventfd in epoll_: readable where poll() has something that no socket tells
  bool work_told_ = false;
  std::array<std::unique_ptr<ShmPortEnd>, kMaxPorts> ports_;
  std::array<Newcomer, kNewcomers> newcomers_;
  std::size_t first_to_deliver_ = 0;
  PortFabricCounters counters_;
};

}  // namespace hapair::ccm
