// The socket at which the holder of a container's watchdog feeds it (ccm/wire/container_watchdog.h): one at a time.
// Whatever else comes changes nothing: a second opener is refused, and so is a process outside of the container's PID
// namespace, which would go on feeding where everything in it stands still; who sends what is no packet is turned out,
// while the time runs on.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/container/container_timer.h"
#include "ccm/container/voice.h"
#include "ccm/wire/container_watchdog.h"

namespace hapair::ccm {

class WatchdogService {
 public:
  // Listens at `path`, for this user alone; a socket that an earlier life left there is replaced, anything else is not,
  // nor one that somebody serves.
  // `clock` outlives this. The error is a sentence.
  static std::expected<WatchdogService, std::string> open(const std::string& path, bool nowayout, const Clock& clock);

  // Takes what has come. Feeds that were sent in time count, however late they are read. False: there may be more, of a
  // holder that floods.
  bool turn();
  [[nodiscard]] std::optional<Instant> ends_at() const { return timer_.ends_at(); }
  // To be asked after turn().
  [[nodiscard]] bool over() const { return timer_.over(clock_->now()); }
  // What to poll for reading; -1: nothing at the moment.
  [[nodiscard]] std::array<int, 2> fds() const { return {listener_.get(), holder_.get()}; }

 private:
  WatchdogService(Fd listener, bool nowayout, const Clock& clock);

  // False: not all of it.
  bool read_holder();
  // False: the holder is turned out.
  bool take(const ContainerWatchdogPacket& packet);
  void hold(const ContainerWatchdogPacket& wish);
  bool accept_next();
  void refuse(const Fd& socket, int error);
  void say_once(bool& told, std::string_view text);

  Fd listener_;
  Fd holder_;
  ContainerTimer timer_;
  const Clock* clock_;
  Voice voice_;
  bool told_of_garbage_ = false;
  bool told_of_outsider_ = false;
};

}  // namespace hapair::ccm
