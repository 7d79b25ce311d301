// One client of the control socket: its bytes in and out, its rights, and what it follows. Bounded in every direction;
// the server decides what a request means.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent/shell/event_source.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "proto/control.pb.h"
#include "proto/framing.h"

namespace hapair::agent {

// Who is at the other end, as the kernel says (SO_PEERCRED, SO_PEERGROUPS).
struct ControlPeer {
  bool may_act = false;
  std::string name;          // "root (pid 4711)", for the records
  bool alerts_only = false;  // it came by the socket for Pacemaker's alerts
};

class ControlConnection {
 public:
  enum class Fate : std::uint8_t { open, closed, slow };
  // Handles one message; false: send what was replied, then close.
  using OnMessage = std::function<bool(ControlConnection&, const std::string&)>;
  using OnOversized = std::function<void(ControlConnection&, std::uint32_t)>;
  using OnEnd = std::function<void(int fd, Fate)>;  // may destroy the connection

  ControlConnection(sd_event* loop, const Clock& clock, Fd fd, ControlPeer peer, OnMessage on_message,
                    OnOversized on_oversized, OnEnd on_end);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;

  void reply(const control::v1::Reply& reply);
  // One more record for a client that follows. One that reads too slowly is ended, soon and not from in here.
  void follow_with(const control::v1::Reply& reply);

  [[nodiscard]] const ControlPeer& peer() const { return peer_; }
  std::optional<control::v1::RecordsRequest> followed;  // set: sends records that match as they come

 private:
  static int on_io(sd_event_source* source, int fd, std::uint32_t events, void* context);
  static int on_deadline(sd_event_source* source, std::uint64_t when_us, void* context);
  Fate read_all();
  Fate write_all();
  void handle_messages();
  void arm(bool progress);

  sd_event* loop_;
  const Clock* clock_;
  Fd fd_;
  ControlPeer peer_;
  OnMessage on_message_;
  OnOversized on_oversized_;
  OnEnd on_end_;
  control::FrameReader input_{control::kMaxRequestBytes};
  std::string output_;
  bool closing_ = false;     // nothing more is read
  bool overrun_ = false;     // it follows and does not read
  bool more_waits_ = false;  // whole requests that were left for the loop's next turn
  bool peer_done_ = false;   // the peer will send nothing more
  EventSource io_;
  EventSource deadline_;
};

}  // namespace hapair::agent
