// Writes what each fuzz target begins with: golden bytes of the unit tests, right ones and a few that are wrong in one
// place.
//
// usage: fuzz_seeds DIR; makes DIR/TARGET/NAME
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ccm/fabric/iwarp/mpa.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/connect_data.h"
#include "ccm/wire/mailbox_page.h"
#include "ccm/wire/notice.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/ownership_slot.h"
#include "tests/unit/agent/corosync/fleet_reports.h"
#include "tests/unit/ccm/fabric/iwarp/frames.h"
#include "tests/unit/ccm/wire/golden.h"

namespace {

using namespace hapair;
using namespace hapair::ccm;
using namespace hapair::ccm::iwarp;

std::filesystem::path folder;

void seed(const std::string& target, const std::string& name, std::span<const std::byte> bytes) {
  std::filesystem::create_directories(folder / target);
  std::ofstream file(folder / target / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Bytes join(std::initializer_list<unsigned> head, std::span<const std::byte> tail) {
  Bytes bytes;
  for (const unsigned one : head) bytes.push_back(static_cast<std::byte>(one));
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

template <class Struct>
std::span<const std::byte> raw(const Struct& one) {
  return std::as_bytes(std::span(&one, 1));
}

void mpa_and_connect_data() {
  ConnectRequest request{ConnectService::port, {}};
  request.token.fill(0x42);
  const ConnectAnswer answer{ConnectService::early_channel,
                             {{{0x4841'0000'0000, 4096, 1}, {0x4841'0001'0000, 4096, 2}}}};
  const ConnectBytes asked = encode(request);
  const ConnectBytes answered = encode(answer);
  seed("connect_data", "request", join({1}, asked));
  seed("connect_data", "answer", join({1}, answered));
  std::array<std::byte, kMaxMpaBytes> bytes{};
  for (const bool reply : {false, true}) {
    for (const std::uint8_t revision : {std::uint8_t{1}, std::uint8_t{2}}) {
      MpaFrame frame;
      frame.reply = reply;
      frame.crc = true;
      frame.revision = revision;
      frame.enhanced = revision == 2;
      frame.ird = 16;
      frame.ord = 16;
      frame.private_data = reply ? std::span<const std::byte>(answered) : asked;
      const std::size_t length = encode(frame, bytes);
      seed("mpa", (reply ? "reply" : "request") + std::to_string(revision),
           join({reply ? 1U : 0U}, std::span(bytes).first(length)));
    }
  }
}

void iwarp_frames() {
  const Bytes text = bytes_of("written by user space");
  const std::vector<std::pair<std::string, Bytes>> frames{
      // As a kernel's siw was captured with (tests/unit/ccm/fabric/iwarp/stream_test.cc).
      {"siw-write",
       from_hex("0023 c140 fb669600 00007f9c8e7dd400 7772697474656e2062792075736572207370616365 000000 0b9d8dff")},
      {"siw-send", from_hex("001c 4143 00000000 00000000 00000001 00000000 30313233343536373839 0000 fabab6fa")},
      {"write", write_frame(0x22, 0x1000'0000, text)},
      {"write-end", write_frame(0x33, ~std::uint64_t{0} - 255, text)},
      {"write-nowhere", write_frame(0, 0, {})},
      {"read", read_frame(1, {0xabc, 0x5000, 200, 0x11, 0x1000'0000})},
      {"read-nothing", read_frame(1, {0xabc, 0x5000, 0, 0x33, ~std::uint64_t{0} - 255})},
      {"send", send_frame(1, text)},
      {"send-part", send_frame(1, text, 0, false)},
      {"terminate", frame_of(from_hex("4147 00000000 00000002 00000001 00000000 01000000"))},
  };
  Bytes all;
  for (const auto& [name, frame] : frames) {
    const std::size_t length = get_u16(frame);
    const std::span ulpdu = std::span(frame).subspan(2, length);
    seed("segment", name, ulpdu);
    seed("iwarp_stream", name + "-raw", join({0x0f, 0, static_cast<unsigned>(frame.size())}, frame));
    // A buffer to receive into, then the frame with its right CRC.
    const auto two = static_cast<unsigned>(length);
    const Bytes step = join({7, 200, 1, two >> 8U, two & 0xffU}, ulpdu);
    seed("iwarp_stream", name, join({0x0f}, step));
    if (name.find("siw") == 0 || name == "terminate") continue;  // which end the connection
    all.insert(all.end(), step.begin(), step.end());
    all.push_back(std::byte{255});  // in one piece
  }
  seed("iwarp_stream", "all", join({0x0f}, all));
  // Aimed ones: into the memory that may be written, at its end, into a buffer, and reads of what may be read.
  seed("iwarp_stream", "aim-write", join({0x0f, 11, 3, 0, 8, 0, 8}, {}));
  seed("iwarp_stream", "aim-end", join({0x0f, 11, 3, 1, 0, 0, 8}, {}));
  seed("iwarp_stream", "aim-last", join({0x0f, 11, 6, 1, 0, 0, 8}, {}));
  seed("iwarp_stream", "aim-read", join({0x0f, 12, 1, 0, 8, 1, 0, 8, 12, 1, 0, 8, 1, 0, 8}, {}));
  seed("iwarp_stream", "aim-send", join({0x0f, 7, 8, 13, 2, 0, 8, 1, 8}, {}));
  seed("iwarp_stream", "aim-parts", join({0x0f, 7, 8, 13, 2, 0, 4, 13, 2, 1, 4}, {}));
  // Operations, and an honest other end.
  seed("iwarp_stream", "user", join({0x0f, 4, 100, 5, 0, 200, 6, 50, 8, 8, 4, 60, 9, 1}, {}));
  seed("iwarp_stream", "ended", join({0x4f, 4, 100, 15, 7, 6, 50, 8}, {}));
}

void pages() {
  const auto page = golden_bytes(kGoldenPage, kPageBytes);
  const auto hello = golden_bytes(kGoldenHello, kRecordBytes);
  seed("status_page", "golden", join({0}, page));
  seed("status_page", "begun", join({1}, std::span(page).first(900)));
  const auto beat = golden_bytes(kGoldenBeat, kBeatBytes);
  seed("beat_datagram", "golden", join({0}, beat));
  seed("beat_datagram", "sealed", join({1}, beat));
  Bytes block = beat;
  block.resize(kNoticeAt);
  const auto notice = golden_bytes(kGoldenNotice, sizeof(NoticeLayout));
  block.insert(block.end(), notice.begin(), notice.end());
  seed("notice", "golden", join({0}, block));
  seed("notice", "sealed", join({1}, block));
  const auto slot = golden_bytes(kGoldenSlot, kSlotBytes);
  seed("ownership_slot", "golden", join({0}, slot));
  seed("ownership_slot", "sealed", join({1}, slot));
  seed("mailbox_record", "golden", join({4}, hello));
  seed("mailbox_record", "unread", join({3}, hello));
  Bytes both = hello;
  both.insert(both.end(), hello.begin(), hello.end());
  both.at(kRecordBytes + offsetof(RecordLayout, kind)) = std::byte{2};
  seed("mailbox_record", "both", join({7}, both));
}

void client_packets() {
  ClientPacket packet{};
  packet.message = static_cast<std::uint32_t>(ClientMessage::hello);
  packet.protocol = kClientProtocol;
  packet.pace_us = 10000;
  put_name(packet.name, kAgentClientName);
  const auto sent = [&](ClientMessage message) {
    packet.message = static_cast<std::uint32_t>(message);
    return join({1, sizeof packet}, raw(packet));
  };
  Bytes steps = join({0}, sent(ClientMessage::hello));
  seed("client_packets", "hello", steps);
  // The welcome is read, the block is written, a phase is set, the client leaves.
  const Bytes rest = join({6, 5, 8, 1, 1, 1, 1, 1, 1, 1, 1, 0, 8}, sent(ClientMessage::phase));
  steps.insert(steps.end(), rest.begin(), rest.end());
  packet.ports = 2;
  packet.memory_bytes = 8192;
  packet.staging_bytes = 4096;
  const Bytes ports = sent(ClientMessage::ports);
  steps.insert(steps.end(), ports.begin(), ports.end());
  const Bytes bye = sent(ClientMessage::goodbye);
  steps.insert(steps.end(), bye.begin(), bye.end());
  seed("client_packets", "life", steps);
}

void fleet_messages() {
  using agent::test::fleet_pool;
  const auto report =
      agent::test::fleet_report("pair-1", "alpha", "beta",
                                {fleet_pool("pool-a", "alpha", "serving", 3), fleet_pool("pool-b", "", "claiming", 0)});
  const auto bytes = agent::encode_fleet_message({report, std::chrono::seconds(1)});
  seed("fleet_message", "true", join({0}, bytes));
  seed("fleet_message", "sealed", join({1}, bytes));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  mpa_and_connect_data();
  iwarp_frames();
  pages();
  client_packets();
  fleet_messages();
  return 0;
}
