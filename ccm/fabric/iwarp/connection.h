// One iWARP connection on a TCP socket: the MPA negotiation with hapair's own data in it, then the stream. Either end.
// It does not wait, and all of its memory is there from the beginning.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/fabric/iwarp/mpa.h"
#include "ccm/fabric/iwarp/stream.h"
#include "ccm/fabric/iwarp/tcp.h"
#include "ccm/wire/connect_data.h"
#include "ccm/wire/names.h"

namespace hapair::ccm::iwarp {

class Connection {
 public:
  enum class Phase : std::uint8_t {
    idle,
    dialling,          // the TCP connection is being made
    awaiting_reply,    // our request is out
    awaiting_request,  // accepted by TCP; the other end has to speak first
    requested,         // its request is whole: accept() or reject()
    up,
    ended,  // error() says how; what is left is in stream()
  };

  explicit Connection(std::size_t max_payload) : stream_(max_payload) {}

  // The active end. False: it ended at once.
  bool dial(const Endpoint& local, const Endpoint& remote, const ConnectRequest& request, bool crc,
            Duration user_timeout, Instant now);
  // The passive end.
  void take(Fd socket, bool crc, Duration user_timeout, Instant now);
  void accept(const ConnectAnswer& answer, std::span<const Region> regions);
  void reject();

  // Everything that the socket allows at this moment.
  void work();
  // Sends what is due; after posting.
  void flush();
  // At once and without a word more.
  void close();

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] FabricError error() const { return error_; }
  // The other end's bytes were not of this protocol.
  [[nodiscard]] bool malformed() const { return malformed_; }
  [[nodiscard]] Instant since() const { return since_; }
  [[nodiscard]] const ConnectRequest& request() const { return request_; }
  [[nodiscard]] const ConnectAnswer& answer() const { return answer_; }
  [[nodiscard]] Stream& stream() { return stream_; }
  // Bytes of the stream that the socket took or gave, since the connection began.
  [[nodiscard]] std::uint64_t moved() const { return moved_; }
  // Has `epoll` wait for what this connection waits for, under `number`.
  void watch(const Fd& epoll, std::uint64_t number);

 private:
  void end(FabricError error);
  void end_malformed();
  void begin_stream(bool crc, const MpaFrame& peer, std::span<const Region> regions);
  void queue(const MpaFrame& frame);
  bool send_negotiation();
  void read_negotiation();
  void take_reply(const ParsedMpa& parsed);
  void take_request(const ParsedMpa& parsed);
  void read_stream();

  Phase phase_ = Phase::idle;
  Fd socket_;
  Stream stream_;
  bool crc_ = true;
  bool blocked_ = false;  // the socket takes no more now
  bool malformed_ = false;
  FabricError error_ = FabricError::none;
  Instant since_;
  std::uint64_t moved_ = 0;
  std::uint32_t watched_ = 0;  // what epoll was last told to wait for,
  std::uint64_t number_ = 0;   // and under which number
  ConnectRequest request_;
  ConnectAnswer answer_;
  MpaFrame peer_;  // the other end's frame, without its private data
  std::array<std::byte, kMaxMpaBytes> in_{};
  std::size_t in_bytes_ = 0;
  std::array<std::byte, kMaxMpaBytes> out_{};
  std::size_t out_bytes_ = 0;
  std::size_t out_sent_ = 0;
};

}  // namespace hapair::ccm::iwarp
