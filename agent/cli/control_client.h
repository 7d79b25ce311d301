// The command line's end of the agent's control socket. Blocking; every error is a sentence with what to do.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "proto/control.pb.h"
#include "proto/framing.h"

namespace hapair::cli {

// What the program ends with; documented in `hapair --help`.
enum class Exit : std::uint8_t { ok = 0, failed = 1, usage = 2, not_running = 3, configuration = 78 };

struct Failure {
  Exit exit = Exit::failed;
  std::string text;
};

inline constexpr Duration kAgentPatience = std::chrono::seconds(10);  // a healthy agent answers within milliseconds

class ControlClient {
 public:
  // `patience`: the longest wait for each of the connection, a request to be taken, and an answer.
  static std::expected<ControlClient, Failure> connect(const std::string& socket_path,
                                                       Duration patience = kAgentPatience);

  // One request and its reply; an Error in it is a Failure.
  std::expected<control::v1::Reply, Failure> ask(control::v1::Request request);
  // The next record after a Follow was asked; waits for it without end.
  std::expected<control::v1::RecordEntry, Failure> next_followed();

 private:
  ControlClient(Fd fd, std::string path, Duration patience)
      : fd_(std::move(fd)), path_(std::move(path)), patience_(patience) {}
  std::expected<control::v1::Reply, Failure> receive(bool without_end);

  Fd fd_;
  std::string path_;
  Duration patience_;
  control::FrameReader reader_{control::kMaxReplyBytes};
};

}  // namespace hapair::cli
