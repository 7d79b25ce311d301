// The Unix socket over which two ends of a port meet: SOCK_SEQPACKET at a path, which reaches across network
// namespaces. It carries the request and the answer of ccm/wire/connect_data.h, the descriptors of shared memory, then
// only bells. It hangs up when the process at the other end dies, however it dies.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

// A packet of one byte.
enum class PortWord : std::uint8_t {
  bell = 1,      // look at the ring: there is a message, or one was taken
  no_right = 2,  // to the exposing side: an operation reached for what it gives no right to; nothing was moved
  refused = 3,   // the answer to a request whose token nobody has
};

struct PortPacket {
  enum class Kind : std::uint8_t { nothing, bytes, ended };
  Kind kind = Kind::nothing;
  std::array<std::byte, 64> data{};
  std::size_t size = 0;      // more than `data` where the packet was longer
  std::array<Fd, 2> memory;  // descriptors that came with it, in their order
  [[nodiscard]] bool is(PortWord word) const { return size == 1 && data[0] == static_cast<std::byte>(word); }
  [[nodiscard]] std::span<const std::byte> bytes() const { return std::span(data).first(std::min(size, data.size())); }
};

// Only for this user; in the place of what an earlier life left there.
std::expected<Fd, std::string> listen_at(const std::string& path);
// not_listening: nobody does. none: too many wait there already; try again.
std::expected<Fd, FabricError> dial(const std::string& path);
// Invalid: nobody waits.
Fd accept_from(const Fd& listener);
// The process at the other end runs as this user, or as root.
bool is_own_user(const Fd& socket);

// Never blocks. False: there was no room, or nobody to take it.
bool send_packet(const Fd& socket, std::span<const std::byte> bytes, std::span<const int> memory = {});
bool send_word(const Fd& socket, PortWord word);
PortPacket receive_packet(const Fd& socket);

}  // namespace hapair::ccm
