// Fabric iwarp: iWARP over TCP in user space, for any network interface. The other end may be this same code, a
// kernel's soft-iWARP or an RNIC. Each node serves its partner's connection, which reads and writes this node's pages,
// and opens its own. One-sided towards the partner's storage and agent; the partner's CCM has to run, unlike with a
// kernel or a device at the other end.
//
// | what is found                                     | connect          | operation, and then the connection   |
// | no interface has our address, or it has no link   | link_down        | link_down, lost (link_down)          |
// | no answer within retry_timeout                    | retry_exceeded   | retry_exceeded, lost (retry_exceeded)|
// | the host refuses the port                         | not_listening    |                                      |
// | the other end rejects, or speaks something else   | refused          |                                      |
// | it ends the connection, or dies                   | disconnected     | disconnected, lost (disconnected)    |
// | it has no such memory, or gives no right to it    |                  | remote_access, lost (remote_access)  |
//
// Who is let in: only the configured partner's address. Where all places are taken, a newcomer takes the place of one
// that has moved no data, or none for long, or else of the youngest: so the pair's own stays. All of it is counted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/fabric/fabric.h"
#include "ccm/fabric/iwarp/connection.h"
#include "ccm/fabric/iwarp/tcp.h"
#include "ccm/fabric/own_connection.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

// Of the pages, as our own end has them; a device chooses its own and says so in its answer.
inline constexpr std::uint32_t kStatusStag = 0x4841'0001;
inline constexpr std::uint32_t kMailboxStag = 0x4841'0002;

struct IwarpSettings {
  std::string address;  // numeric, IPv4 or IPv6
  std::string partner_address;
  std::uint16_t service_port = 7480;
  Duration retry_timeout = std::chrono::milliseconds(50);
  bool crc = true;
};

struct IwarpCounters {
  std::uint64_t refused_address = 0;    // not the partner's
  std::uint64_t refused_limit = 0;      // more connections than are served at a time: one gave way
  std::uint64_t refused_malformed = 0;  // no MPA, or not hapair's request
  std::uint64_t refused_silent = 0;     // connected and asked for nothing
  std::uint64_t terminated = 0;         // a frame that broke the rules: told with a Terminate
};

class IwarpFabric final : public Fabric {
 public:
  explicit IwarpFabric(IwarpSettings settings);
  ~IwarpFabric() override;

  std::expected<void, std::string> open() override;
  [[nodiscard]] std::span<std::byte> status_memory() override { return {pages_.get(), kPageBytes}; }
  [[nodiscard]] std::span<std::byte> mailbox_memory() override { return {pages_.get() + kPageBytes, kPageBytes}; }

  void connect(Instant now) override;
  void drop(Instant now) override;
  bool post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) override;
  bool post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                  std::span<const std::byte> from) override;
  std::size_t poll(Instant now, std::span<FabricEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return service_ ? service_->epoll.get() : -1; }
  [[nodiscard]] Duration last_round_trip() const override { return own_.last_round_trip(); }
  [[nodiscard]] std::string_view kind() const override { return "iwarp"; }
  [[nodiscard]] std::uint64_t remote_address(RemotePage page) const override { return remote(page, 0).offset; }
  [[nodiscard]] const IwarpCounters& counters() const { return counters_; }
  [[nodiscard]] std::string_view device() const override { return settings_.address; }
  [[nodiscard]] std::uint64_t turned_away() const override {
    return counters_.refused_address + counters_.refused_limit + counters_.refused_malformed +
           counters_.refused_silent + counters_.terminated;
  }

 private:
  struct Inbound {
    explicit Inbound(std::size_t max_payload) : connection(max_payload) {}
    iwarp::Connection connection;
    Instant active;  // when it last moved data
    std::uint64_t moved = 0;
  };

  void take_ready(Instant now);
  void accept_all(Instant now);
  Inbound* place_for_newcomer(Instant now);
  void work_inbound(Inbound& inbound, Instant now);
  void close_inbound(Inbound& inbound);
  void work_outbound(Instant now);
  void check_times(Instant now);
  void collect(Instant now);
  void end_outbound(FabricError why);
  iwarp::RemoteBuffer remote(RemotePage page, std::size_t offset) const;

  static constexpr std::size_t kInbound = 4;

  IwarpSettings settings_;
  std::optional<iwarp::Service> service_;  // from open() on
  struct FreePages {
    void operator()(std::byte* pages) const;
  };
  std::unique_ptr<std::byte[], FreePages> pages_;
  std::array<iwarp::Region, 2> regions_;

  OwnConnection own_;
  Instant link_checked_at_;
  Instant polled_at_;
  bool nudged_ = false;
  iwarp::Connection outbound_;
  std::array<Inbound, kInbound> inbound_;
  IwarpCounters counters_;
};

}  // namespace hapair::ccm
