// The thread in which ports live. The CCM's loop hands it commands and takes its news; between the two there are only
// two queues without locks.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/spsc_ring.h"
#include "ccm/base/time.h"
#include "ccm/ports/port_carrier.h"
#include "ccm/ports/port_host.h"
#include "ccm/wire/mac.h"

namespace hapair::ccm {

class PortThread final : public PortCarrier {
 public:
  // The fabrics are this thread's from here on. `clock` outlives it.
  PortThread(std::vector<std::unique_ptr<PortFabric>> fabrics, const Clock& clock);
  ~PortThread();  // ends the thread, which closes every port
  PortThread(const PortThread&) = delete;
  PortThread& operator=(const PortThread&) = delete;

  std::expected<void, std::string> start();

  // The CCM's side.
  bool give(const PortCommand& command) override;
  bool take(PortNews& into) override;
  // Readable when there is news.
  [[nodiscard]] int news_fd() const { return news_event_.get(); }
  void acknowledge_news() const;
  // A copy, no older than a tenth of a second while something moves.
  [[nodiscard]] PortTraffic traffic(PortRef port) const override;
  [[nodiscard]] std::uint64_t turned_away(RailId rail) const override { return turned_away_.at(rail.value()); }

 private:
  static void* run(void* self);
  void run_until_ended();
  void wait();
  void take_commands(Instant now);
  void give_news();
  void show_traffic(Instant now);

  // Written by the thread, read by the CCM; each number by itself is right.
  struct SharedTraffic {
    std::atomic<std::uint64_t> operations, failed, refused, bytes, messages;
  };

  std::vector<std::unique_ptr<PortFabric>> fabrics_;
  const Clock* clock_;
  SystemRandom random_;
  Fd epoll_;
  Fd command_event_;
  Fd news_event_;
  std::optional<PortHost> host_;
  SpscRing<PortCommand, 256> commands_;
  SpscRing<PortNews, 256> news_;
  std::optional<PortNews> unsent_;
  std::array<std::array<SharedTraffic, kMaxClientPorts>, kMaxClients> traffic_{};
  std::array<std::atomic<std::uint64_t>, kMaxRails> turned_away_{};
  Instant next_traffic_;
  std::atomic<bool> ended_ = false;
  bool running_ = false;
  pthread_t thread_{};
};

}  // namespace hapair::ccm
