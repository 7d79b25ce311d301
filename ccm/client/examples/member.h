// What both sides of the mirror do alike: register with the CCM, get their port, wait, and end when asked.
#pragma once

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <expected>
#include <optional>
#include <string>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/client/client.h"
#include "ccm/client/examples/options.h"
#include "ccm/client/examples/record.h"

namespace hapair::mirror {

class Member {
 public:
  static std::expected<Member, std::string> join(const Options& options) {
    const RecordLayout layout{options.slots, options.record_bytes};
    constexpr Duration kPatience = std::chrono::seconds(10);
    auto client = ccm::Client::connect(options.socket, options.name, kBeatEvery, kPatience);
    if (!client) return std::unexpected(client.error().text);
    auto ports = client->request_ports({.ports = 1,
                                        .memory_bytes = layout.memory_bytes(),
                                        .staging_bytes = layout.memory_bytes(),
                                        .partner_reads = false,
                                        .partner_writes = true},
                                       kPatience);
    if (!ports) return std::unexpected(ports.error().text);
    sigset_t ending;
    ::sigemptyset(&ending);
    ::sigaddset(&ending, SIGTERM);
    ::sigaddset(&ending, SIGINT);
    ::sigprocmask(SIG_BLOCK, &ending, nullptr);
    Fd signals(::signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
    return Member(std::move(*client), std::move(*ports), std::move(signals), layout);
  }

  ccm::Ports& ports() { return ports_; }
  ccm::Port& port() { return ports_[0]; }
  [[nodiscard]] const RecordLayout& layout() const { return layout_; }
  [[nodiscard]] Instant now() const { return clock_.now(); }

  // Until something happened, or `patience`. False: this process was asked to end, or its CCM is gone.
  bool wait(Duration patience) {
    client_.beat();
    const auto ms = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(patience).count());
    std::array<pollfd, 3> fds{
        {{ports_.event_fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {client_.socket_fd(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), ms);
    if (fds[2].revents != 0) std::fputs("mirror: ccmd ended; start this program again when it is back\n", stderr);
    return fds[1].revents == 0 && fds[2].revents == 0;
  }
  void progress(const ccm::Progress& now) { client_.progress(now); }
  void leave() { client_.leave(); }

  static constexpr Duration kBeatEvery = std::chrono::milliseconds(100);

 private:
  Member(ccm::Client client, ccm::Ports ports, Fd signals, const RecordLayout& layout)
      : client_(std::move(client)), ports_(std::move(ports)), signals_(std::move(signals)), layout_(layout) {}

  SystemClock clock_;
  ccm::Client client_;
  ccm::Ports ports_;
  Fd signals_;
  RecordLayout layout_;
};

}  // namespace hapair::mirror
