// A whole iWARP connection after its negotiation, with a user at this end and anything at the other: a program of
// steps, each a byte that says what and its operands. Frames are given raw, or with the CRC that they need to get
// further.
#include <array>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "ccm/fabric/iwarp/stream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/ccm/fabric/iwarp/frames.h"

namespace {

using namespace hapair;
using namespace hapair::ccm::iwarp;

constexpr std::uint32_t kReadable = 0x11;
constexpr std::uint32_t kWritable = 0x22;
constexpr std::uint32_t kBoth = 0x33;
constexpr std::uint64_t kBase = 0x1000'0000;
constexpr std::size_t kBytes = 256;
constexpr std::uint64_t kLastBase = ~std::uint64_t{0} - kBytes + 1;  // up to the very last address
constexpr std::size_t kPayload = 64;

// The user, and the memory that it exposes: each piece on the heap and of its very size, so that a byte beside it is
// seen.
class User {
 public:
  User() {
    for (std::size_t i = 0; i < kBytes; ++i) readable_[i] = static_cast<std::byte>(i);
    begin(0x0f);
  }
  // Every bit of the terms from one byte.
  void begin(std::uint8_t options) {
    stream_.begin({.crc = (options & 1U) != 0,
                   .reads_out = 1U + (options >> 1U) % 4U,
                   .reads_in = (options >> 3U) % 4U,
                   .regions = regions_,
                   .ready_to_receive = (options & 0x40U) != 0});
    crc_ = (options & 1U) != 0;
    sent_.clear();
    received_.clear();
    buffers_.clear();
    next_send_ = next_read_ = 1;
    send_offset_ = 0;
  }
  void step(fuzz::Input& input);
  void feed(std::span<const std::byte> bytes, std::size_t piece);
  void check();

 private:
  std::span<std::byte> buffer(std::size_t bytes) {
    buffers_.push_back(std::make_unique<std::byte[]>(bytes));
    return {buffers_.back().get(), bytes};
  }
  void answer_reads(std::uint8_t twist);
  void aim(fuzz::Input& input);
  [[nodiscard]] Bytes with_crc(Bytes frame) const {
    if (!crc_) std::fill(frame.end() - 4, frame.end(), std::byte{0});
    return frame;
  }
  [[nodiscard]] Bytes framed(std::span<const std::byte> ulpdu) const { return with_crc(frame_of(ulpdu)); }

  std::vector<std::byte> readable_ = std::vector<std::byte>(kBytes);
  std::vector<std::byte> writable_ = std::vector<std::byte>(kBytes);
  std::vector<std::byte> both_ = std::vector<std::byte>(kBytes);
  std::array<Region, 3> regions_{{{kReadable, kBase, readable_, true, false},
                                  {kWritable, kBase, writable_, false, true},
                                  {kBoth, kLastBase, both_, true, true}}};
  Stream stream_{kPayload};
  bool crc_ = true;
  std::uint32_t next_send_ = 1;  // of the other end's messages
  std::uint32_t next_read_ = 1;
  std::uint32_t send_offset_ = 0;
  std::uint64_t next_ = 1;
  std::deque<std::uint64_t> sent_;
  std::deque<std::uint64_t> received_;
  std::vector<std::unique_ptr<std::byte[]>> buffers_;
};

void User::feed(std::span<const std::byte> bytes, std::size_t piece) {
  while (!bytes.empty() && !stream_.ended()) {
    const auto space = stream_.receive_space();
    // A sender that does not read its answers: nothing more is taken until it does.
    if (space.empty()) return;
    const std::size_t count = std::min({bytes.size(), space.size(), piece});
    std::memcpy(space.data(), bytes.data(), count);
    bytes = bytes.subspan(count);
    FUZZ_CHECK(stream_.received(count) != stream_.ended());
  }
}

// As an honest other end answers reads, with one thing about each answer changed where `twist` is not zero.
void User::answer_reads(std::uint8_t twist) {
  std::vector<std::byte> out;
  for (auto part = stream_.to_send(); !part.empty(); part = stream_.to_send()) {
    out.insert(out.end(), part.begin(), part.end());
    stream_.sent(part.size());
  }
  std::span<const std::byte> rest = out;
  while (rest.size() >= 2) {
    const std::size_t length = get_u16(rest);
    const std::size_t whole = fpdu_shape(length).bytes;
    FUZZ_CHECK(whole <= rest.size());  // the output is whole frames
    const auto segment = parse_segment(rest.subspan(2, length));
    FUZZ_CHECK(segment.has_value());
    rest = rest.subspan(whole);
    if (segment->opcode != Opcode::read_request) continue;
    const auto request = parse_read_request(segment->payload);
    FUZZ_CHECK(request.has_value());
    std::vector<std::byte> data(request->length + (twist == 1 || twist == 6 ? 1U : 0U), std::byte{0x77});
    if (twist == 2 && !data.empty()) data.pop_back();
    Segment answer;
    answer.opcode = Opcode::read_response;
    answer.tagged = true;
    answer.last = twist != 3 && twist != 6;
    answer.stag = request->sink_stag ^ (twist == 4 ? 1U : 0U);
    answer.offset = request->sink_offset + (twist == 5 ? 1U : 0U);
    answer.payload = data;
    const auto frame = framed(ulpdu_of(answer));
    feed(frame, frame.size());
  }
}

void User::aim(fuzz::Input& input) {
  static constexpr std::array<std::pair<std::uint32_t, std::uint64_t>, 4> kTargets{
      {{kReadable, kBase}, {kWritable, kBase}, {kBoth, kLastBase}, {0x99, kBase}}};
  static const Bytes kPattern(kBytes + 16, std::byte{0x42});
  const std::uint8_t what = input.byte();
  const auto [stag, base] = kTargets.at(what / 3 % kTargets.size());
  // From a little before it to a little behind it.
  const std::uint64_t offset = base + input.two() % (kBytes + 16) - 8;
  const std::uint32_t message = what >= 0xe0 ? 1U : 0U;  // seldom another one than the one that is due
  if (what % 3 == 0)
    return feed(with_crc(write_frame(stag, offset, std::span(kPattern).first(input.two() % (kBytes + 16)))), 4096);
  if (what % 3 == 1) {
    const std::uint32_t length = input.two() % (kBytes + 16);
    return feed(with_crc(read_frame(next_read_++ + message, {0xabc, 0x5000, length, stag, offset})), 4096);
  }
  const bool last = input.byte() % 4 != 0;
  const auto payload = std::span(kPattern).first(input.byte());
  feed(with_crc(send_frame(next_send_ + message, payload, send_offset_, last)), 4096);
  send_offset_ = last ? 0 : send_offset_ + static_cast<std::uint32_t>(payload.size());
  if (last) ++next_send_;
}

void User::step(fuzz::Input& input) {
  const RemoteBuffer there{0x99, 0x1000};
  switch (input.byte() % 16) {
    case 0: {
      const std::size_t count = input.byte();
      return feed(input.bytes(count), 1U + input.byte());
    }
    case 1:
    case 2:
    case 3: {
      const auto frame = framed(input.bytes(input.two() % 600));
      return feed(frame, 1U + input.byte());
    }
    case 4: {
      if (!stream_.post_read(OperationId(next_), there, buffer(input.byte()))) return;
      return sent_.push_back(next_++);
    }
    case 5: {
      if (!stream_.post_write(OperationId(next_), there, there, buffer(input.two() % 600))) return;
      return sent_.push_back(next_++);
    }
    case 6: {
      if (!stream_.post_send(OperationId(next_), there, buffer(input.byte()))) return;
      return sent_.push_back(next_++);
    }
    case 7: {
      if (!stream_.post_receive(OperationId(next_), buffer(input.byte()))) return;
      return received_.push_back(next_++);
    }
    case 8:
      return answer_reads(0);
    case 9:
      return answer_reads(input.byte() % 7);
    case 10:
      stream_.nudge(there);
      return;
    case 11:
    case 12:
    case 13:
    case 14:
      return aim(input);
    default:
      if (const std::uint8_t options = input.byte(); options % 8 == 7) {
        stream_.closed();
        check();
        FUZZ_CHECK(sent_.empty());
        begin(options);
      }
  }
}

void User::check() {
  while (const auto event = stream_.next_event()) {
    auto& due = event->kind == StreamEvent::Kind::done ? sent_ : received_;
    FUZZ_CHECK(!due.empty() && due.front() == event->operation.value());  // once, in their order
    FUZZ_CHECK(event->error == OperationError::none || stream_.ended());
    due.pop_front();
  }
  FUZZ_CHECK(stream_.outstanding() == sent_.size());
  if (stream_.ended()) FUZZ_CHECK(sent_.empty());
  for (std::size_t i = 0; i < kBytes; ++i) FUZZ_CHECK(readable_[i] == static_cast<std::byte>(i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  static User user;  // its buffers are large, and begin() forgets what was
  user.begin(input.byte());
  while (!input.empty()) {
    user.step(input);
    user.check();
  }
  return 0;
}
