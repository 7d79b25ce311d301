// One iSCSI login, from the first SYN to whatever ended it. A session that failed is thrown away and a new one is
// dialled: libiscsi's own reconnect waits for TCP's time-outs, which are many seconds (see the README's client
// settings).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::demo {

inline constexpr Duration kDialDeadline = std::chrono::milliseconds(150);
inline constexpr Duration kOperationDeadline = std::chrono::milliseconds(200);
inline constexpr Duration kRedialAfter = std::chrono::milliseconds(5);

struct Target {
  std::string portal;     // ADDRESS:PORT
  std::string name;       // the target's IQN
  std::string initiator;  // this client's IQN
  int lun = 1;
};

class Session {
 public:
  enum class State : std::uint8_t { dialling, ready, failed };
  // `ok` says whether the target acknowledged the operation. An operation of a session that failed gets no call: the
  // owner still has it and sends it again.
  using Done = std::function<void(Instant now, std::uint64_t tag, bool ok)>;

  Session(const Target& target, Instant now, Done done);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] State state() const;
  [[nodiscard]] const std::string& reason() const;  // of `failed`
  [[nodiscard]] int fd() const;
  [[nodiscard]] short events() const;
  // Handles what the socket has and ends a session whose dial or oldest operation is past its deadline.
  void service(Instant now, short revents);

  // Both only while ready. The buffer stays the caller's and must live until `done` or the end of the session. Writes
  // carry FUA where `durable`: the target acknowledges once the data is on its disk.
  void write(Instant now, std::uint64_t tag, std::uint64_t lba_bytes, std::span<std::byte> data, bool durable);
  void read(Instant now, std::uint64_t tag, std::uint64_t lba_bytes, std::span<std::byte> into);

  [[nodiscard]] std::uint64_t capacity_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hapair::demo
