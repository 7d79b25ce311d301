#include "ccm/fabric/iwarp/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <string>

#include "tests/unit/ccm/fabric/iwarp/frames.h"

namespace hapair::ccm::iwarp {
namespace {

constexpr std::uint32_t kReadable = 0x11;
constexpr std::uint32_t kWritable = 0x22;
constexpr std::uint64_t kBase = 0x1000'0000;
constexpr std::size_t kBytes = 4096;

// Gives a stream bytes in pieces of at most `piece`; false once it has ended.
bool feed(Stream& stream, std::span<const std::byte> bytes, std::size_t piece = 1U << 20U) {
  while (!bytes.empty()) {
    const std::span<std::byte> space = stream.receive_space();
    const std::size_t n = std::min({bytes.size(), space.size(), piece});
    std::memcpy(space.data(), bytes.data(), n);
    bytes = bytes.subspan(n);
    if (!stream.received(n)) return false;
  }
  return true;
}

Bytes take_output(Stream& stream) {
  Bytes all;
  for (std::span<const std::byte> out = stream.to_send(); !out.empty(); out = stream.to_send()) {
    all.insert(all.end(), out.begin(), out.end());
    stream.sent(out.size());
  }
  return all;
}

// A stream that serves a page to read and a page to write.
class Serving : public ::testing::Test {
 protected:
  Serving() {
    readable_.resize(kBytes);
    writable_.resize(kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) readable_[i] = static_cast<std::byte>(i % 251);
    regions_ = {{{kReadable, kBase, readable_, true, false}, {kWritable, kBase, writable_, false, true}}};
    begin();
  }
  void begin(bool crc = true) { stream_.begin({.crc = crc, .reads_out = 4, .reads_in = 4, .regions = regions_}); }
  // What the stream answered to wrong input: the code of its Terminate.
  void expect_terminate(std::span<const std::byte> input, const TerminateCode& code, const std::string& what) {
    begin();
    const Bytes before = writable_;
    EXPECT_FALSE(feed(stream_, input)) << what;
    EXPECT_TRUE(stream_.ended()) << what;
    ASSERT_TRUE(stream_.terminate_sent()) << what;
    EXPECT_EQ(stream_.terminate_sent()->layer, code.layer) << what;
    EXPECT_EQ(stream_.terminate_sent()->type, code.type) << what;
    EXPECT_EQ(stream_.terminate_sent()->code, code.code) << what;
    EXPECT_EQ(writable_, before) << what << ": nothing was placed";
    const Bytes out = take_output(stream_);
    ASSERT_GE(out.size(), 28U) << what;
    const auto said = parse_segment(std::span(out).subspan(2, get_u16(out)));
    ASSERT_TRUE(said) << what;
    EXPECT_EQ(said->opcode, Opcode::terminate) << what;
    EXPECT_EQ(parse_terminate(said->payload), code) << what;
  }

  Bytes readable_;
  Bytes writable_;
  std::array<Region, 2> regions_;
  Stream stream_{1024};
};

TEST_F(Serving, AnswersAReadWithTheBytesInFramesOfItsSize) {
  ASSERT_TRUE(feed(stream_, read_frame(1, {0xabc, 0x5000, 2500, kReadable, kBase + 100})));
  const Bytes out = take_output(stream_);
  Bytes got;
  std::size_t at = 0;
  std::vector<std::size_t> sizes;
  while (at < out.size()) {
    const std::size_t length = get_u16(std::span(out).subspan(at));
    const auto segment = parse_segment(std::span(out).subspan(at + 2, length));
    ASSERT_TRUE(segment);
    EXPECT_EQ(segment->opcode, Opcode::read_response);
    EXPECT_EQ(segment->stag, 0xabcU);
    EXPECT_EQ(segment->offset, 0x5000 + got.size());
    got.insert(got.end(), segment->payload.begin(), segment->payload.end());
    sizes.push_back(segment->payload.size());
    EXPECT_EQ(segment->last, got.size() == 2500);
    at += fpdu_shape(length).bytes;
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1024, 1024, 452}));
  EXPECT_TRUE(std::equal(got.begin(), got.end(), readable_.begin() + 100));
}

TEST_F(Serving, PlacesAWriteWhereItBelongs) {
  const Bytes payload = bytes_of("written by the other end");
  ASSERT_TRUE(feed(stream_, write_frame(kWritable, kBase + 7, payload)));
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), writable_.begin() + 7));
  EXPECT_EQ(writable_[6], std::byte{0});
  EXPECT_EQ(writable_[7 + payload.size()], std::byte{0});
  EXPECT_EQ(stream_.counters().writes_placed, 1U);
}

TEST_F(Serving, EveryPieceOfTheStreamGivesTheSameResult) {
  Bytes input;
  const Bytes payload = bytes_of("0123456789abcdefghij");
  std::array<std::byte, 64> buffer{};
  for (std::uint32_t i = 0; i < 4; ++i) {
    const Bytes write = write_frame(kWritable, kBase + i * payload.size(), payload);
    const Bytes read = read_frame(i + 1, {1, 0, 10, kReadable, kBase + i});
    const Bytes send = send_frame(i + 1, payload);
    for (const Bytes& frame : {write, read, send}) input.insert(input.end(), frame.begin(), frame.end());
  }
  Bytes expected;
  Bytes output;
  for (std::size_t piece = input.size(); piece > 0; --piece) {
    begin();
    std::ranges::fill(writable_, std::byte{0});
    for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(stream_.post_receive(OperationId(i), buffer));
    Bytes out;
    std::span<const std::byte> rest = input;
    while (!rest.empty()) {  // the reader keeps up, whatever the pieces
      const std::size_t n = std::min(piece, rest.size());
      ASSERT_TRUE(feed(stream_, rest.first(n))) << piece;
      const Bytes more = take_output(stream_);
      out.insert(out.end(), more.begin(), more.end());
      rest = rest.subspan(n);
    }
    int received = 0;
    while (const auto event = stream_.next_event()) {
      EXPECT_EQ(event->bytes, payload.size());
      ++received;
    }
    EXPECT_EQ(received, 4) << piece;
    if (piece == input.size()) {
      expected = writable_;
      output = out;
    }
    EXPECT_EQ(writable_, expected) << piece;
    EXPECT_EQ(out, output) << piece;
  }
}

TEST_F(Serving, SpeaksTheFramesThatAKernelSpoke) {
  // As captured from Linux 6.1's siw.
  const Bytes write =
      from_hex("0023 c140 fb669600 00007f9c8e7dd400 7772697474656e2062792075736572207370616365 000000 0b9d8dff");
  EXPECT_EQ(hex(write_frame(0xfb66'9600, 0x7f9c'8e7d'd400, bytes_of("written by user space"))), hex(write));
  const Bytes read = from_hex(
      "002e 4141 00000000 00000001 00000001 00000000 11223300 0000000000001000 00000010 fb669600 00007f9c8e7dd000 "
      "b1508dfb");
  EXPECT_EQ(hex(read_frame(1, {0x1122'3300, 0x1000, 16, 0xfb66'9600, 0x7f9c'8e7d'd000})), hex(read));
  const Bytes send = from_hex("001c 4143 00000000 00000000 00000001 00000000 30313233343536373839 0000 fabab6fa");
  EXPECT_EQ(hex(send_frame(1, bytes_of("0123456789"))), hex(send));
}

TEST_F(Serving, RefusesMemoryThatIsNotThereOrNotToBeTouched) {
  const Bytes some = bytes_of("some");
  using namespace terminate;
  expect_terminate(write_frame(0x99, kBase, some), kTaggedInvalidStag, "write, unknown STag");
  expect_terminate(write_frame(0x99, kBase, {}), kTaggedInvalidStag, "write of nothing, unknown STag");
  expect_terminate(write_frame(kReadable, kBase, some), kTaggedRights, "write to what may only be read");
  expect_terminate(write_frame(kReadable, kBase, {}), kTaggedRights, "write of nothing to what may only be read");
  expect_terminate(write_frame(kWritable, kBase - 1, some), kTaggedBounds, "write before the region");
  expect_terminate(write_frame(kWritable, kBase + kBytes - 3, some), kTaggedBounds, "write across the end");
  expect_terminate(write_frame(kWritable, kBase + kBytes + 1, {}), kTaggedBounds, "write of nothing behind the end");
  expect_terminate(write_frame(kWritable, ~std::uint64_t{0} - 1, some), kTaggedWrap, "write round the end");
  expect_terminate(read_frame(1, {1, 0, 16, 0x99, kBase}), kReadInvalidStag, "read, unknown STag");
  expect_terminate(read_frame(1, {1, 0, 0, 0x99, kBase}), kReadInvalidStag, "read of nothing, unknown STag");
  expect_terminate(read_frame(1, {1, 0, 16, kWritable, kBase}), kReadRights, "read of what may only be written");
  expect_terminate(read_frame(1, {1, 0, kBytes + 1, kReadable, kBase}), kReadBounds, "read beyond the end");
  expect_terminate(read_frame(1, {1, 0, 16, kReadable, kBase - 16}), kReadBounds, "read before the region");
  expect_terminate(read_frame(1, {1, 0, ~0U, kReadable, kBase}), kReadBounds, "read of 4 GiB");
  expect_terminate(read_frame(1, {1, 0, 16, kReadable, ~std::uint64_t{0} - 3}), kReadWrap, "read round the end");
}

TEST_F(Serving, RefusesSegmentsThatBreakTheRules) {
  using namespace terminate;
  const Bytes some = bytes_of("some");
  Bytes frame = write_frame(kWritable, kBase, some);
  frame[frame.size() - 1] ^= std::byte{1};
  expect_terminate(frame, kMpaCrc, "wrong CRC");
  frame = write_frame(kWritable, kBase, some);
  frame[18] ^= std::byte{1};
  expect_terminate(frame, kMpaCrc, "another payload than the CRC's");

  const auto changed = [&](const Bytes& good, std::size_t at, std::uint8_t value) {
    Bytes ulpdu(good.begin() + 2, good.begin() + 2 + get_u16(good));
    ulpdu.at(at) = std::byte{value};
    return frame_of(ulpdu);
  };
  const Bytes write = write_frame(kWritable, kBase, some);
  const Bytes send = send_frame(1, some);
  const Bytes read = read_frame(1, {1, 0, 4, kReadable, kBase});
  expect_terminate(changed(write, 0, 0xc2), kTaggedDdpVersion, "DDP version 2, tagged");
  expect_terminate(changed(send, 0, 0x42), kUntaggedDdpVersion, "DDP version 2, untagged");
  expect_terminate(changed(write, 1, 0x80), kRdmapVersion, "RDMAP version 2");
  for (std::uint8_t opcode = 8; opcode < 16; ++opcode) {
    expect_terminate(changed(send, 1, static_cast<std::uint8_t>(0x40 | opcode)), kUnexpectedOpcode, "unknown opcode");
  }
  expect_terminate(changed(send, 0, 0xc1), kUnexpectedOpcode, "a tagged send");
  expect_terminate(changed(write, 0, 0x41), kUnexpectedOpcode, "an untagged write");
  expect_terminate(changed(send, 1, 0x44), kInvalidateStag, "send with invalidate");
  expect_terminate(changed(send, 9, 1), kUntaggedQueue, "a send on the read queue");
  expect_terminate(changed(read, 9, 5), kUntaggedQueue, "a queue that nobody has");
  expect_terminate(changed(read, 13, 2), kUntaggedMessage, "a read whose number is not due");
  expect_terminate(changed(read, 17, 1), kUntaggedOffset, "a read that begins in the middle");
  expect_terminate(send, kUntaggedNoBuffer, "a send without a receive buffer");
  expect_terminate(send_frame(2, some), kUntaggedMessage, "a send whose number is not due");
  Bytes cut(read.begin() + 2, read.begin() + 2 + 30);
  expect_terminate(frame_of(cut), kMpaLength, "half a read request");
  Bytes response = changed(write, 1, 0x42);
  expect_terminate(response, kTaggedInvalidStag, "an answer that nobody asked for");
  for (std::size_t n = 0; n < kTaggedHeaderBytes; ++n) {
    expect_terminate(frame_of(Bytes(n)), kMpaLength, "a frame of " + std::to_string(n) + " bytes");
  }
  expect_terminate(frame_of(Bytes(kTaggedHeaderBytes, std::byte{0x41})), kMpaLength, "an untagged header cut short");
}

TEST_F(Serving, RefusesOneReadMoreThanItsLimitAndKeepsOtherMessagesApart) {
  Bytes input;
  for (std::uint32_t i = 1; i <= 5; ++i) {
    const Bytes read = read_frame(i, {1, 0, kBytes, kReadable, kBase});
    input.insert(input.end(), read.begin(), read.end());
  }
  // Given at once: the answers are not taken in between, so that the fifth finds four waiting.
  const std::span<std::byte> space = stream_.receive_space();
  std::memcpy(space.data(), input.data(), input.size());
  EXPECT_FALSE(stream_.received(input.size()));
  EXPECT_EQ(stream_.terminate_sent(), terminate::kUntaggedNoBuffer);
}

TEST_F(Serving, RefusesAMessageThatDoesNotFitOrHasAGap) {
  std::array<std::byte, 8> buffer{};
  const Bytes nine(9, std::byte{1});
  begin();
  ASSERT_TRUE(stream_.post_receive(OperationId(1), buffer));
  EXPECT_FALSE(feed(stream_, send_frame(1, nine)));
  EXPECT_EQ(stream_.terminate_sent(), terminate::kUntaggedTooLong);
  begin();
  ASSERT_TRUE(stream_.post_receive(OperationId(1), buffer));
  ASSERT_TRUE(feed(stream_, send_frame(1, std::span(nine).first(4), 0, false)));
  EXPECT_FALSE(feed(stream_, send_frame(1, std::span(nine).first(2), 5)));
  EXPECT_EQ(stream_.terminate_sent(), terminate::kUntaggedOffset);
  begin();
  ASSERT_TRUE(stream_.post_receive(OperationId(1), buffer));
  ASSERT_TRUE(feed(stream_, send_frame(1, std::span(nine).first(4), 0, false)));
  EXPECT_FALSE(stream_.next_event()) << "half a message is none";
  ASSERT_TRUE(feed(stream_, send_frame(1, std::span(nine).first(4), 4)));
  EXPECT_EQ(stream_.next_event()->bytes, 8U);
}

TEST_F(Serving, WithoutCrcTheFieldIsNotLookedAt) {
  begin(false);
  Bytes frame = write_frame(kWritable, kBase, bytes_of("some"));
  std::fill(frame.end() - 4, frame.end(), std::byte{0});
  EXPECT_TRUE(feed(stream_, frame));
  EXPECT_EQ(writable_[0], std::byte{'s'});
}

// Any bytes at all end in nothing worse than the end of this connection. Right frames with a few bytes changed get past
// the first checks; the CRC is made right again for every other one.
TEST_F(Serving, SurvivesAnything) {
  std::array<std::byte, 256> buffer{};
  for (std::uint32_t seed = 1; seed <= 20'000; ++seed) {
    std::mt19937 random(seed);
    begin();
    ASSERT_TRUE(stream_.post_receive(OperationId(1), buffer));
    bool goes_on = true;
    for (int i = 0; i < 4 && goes_on; ++i) {
      const Bytes payload(random() % 64, std::byte{7});
      Bytes frame;
      switch (random() % 4) {
        case 0:
          frame = write_frame(kWritable, kBase + random() % kBytes, payload);
          break;
        case 1:
          frame = read_frame(1, {1, 0, static_cast<std::uint32_t>(random() % kBytes), kReadable, kBase});
          break;
        case 2:
          frame = send_frame(1, payload);
          break;
        default:
          frame.resize(random() % 128);
          for (std::byte& b : frame) b = static_cast<std::byte>(random());
          break;
      }
      for (std::uint32_t n = random() % 4; n > 0 && !frame.empty(); --n) {
        frame[random() % frame.size()] = static_cast<std::byte>(random());
      }
      if (random() % 2 == 0 && frame.size() > 8) {
        const std::uint32_t crc = crc32c(std::span(frame).first(frame.size() - 4));
        std::memcpy(frame.data() + frame.size() - 4, &crc, sizeof crc);
      }
      goes_on = feed(stream_, frame, 1 + random() % 40);
      if (random() % 2 == 0) (void)take_output(stream_);
    }
    (void)take_output(stream_);
    EXPECT_EQ(readable_[250], std::byte{250}) << "seed " << seed << ": what may only be read was written";
    while (stream_.next_event()) {
    }
  }
}

// Two streams, each the other's end.
class Talking : public Serving {
 protected:
  Talking() { begin_both(4); }
  void begin_both(std::uint32_t reads_out) {
    begin();
    active_.begin({.crc = true, .reads_out = reads_out, .reads_in = 0, .regions = {}});
  }
  void carry() {
    for (int i = 0; i < 10'000; ++i) {
      const Bytes there = take_output(active_);
      const Bytes back = take_output(stream_);
      if (there.empty() && back.empty()) return;
      (void)feed(stream_, there, 333);
      if (!back.empty()) (void)feed(active_, back, 333);
    }
    FAIL() << "they never fall silent";
  }
  Stream active_{512};
};

TEST_F(Talking, OperationsCompleteInTheirOrderAndDoWhatTheySay) {
  Bytes page(kBytes);
  const Bytes payload(3000, std::byte{0x5a});
  std::array<std::byte, 64> message{};
  ASSERT_TRUE(stream_.post_receive(OperationId(9), message));
  const RemoteBuffer probe{kReadable, kBase};
  ASSERT_TRUE(active_.post_read(OperationId(1), {kReadable, kBase}, page));
  ASSERT_TRUE(active_.post_write(OperationId(2), {kWritable, kBase + 1000}, probe, payload));
  const Bytes hello = bytes_of("hello");
  ASSERT_TRUE(active_.post_send(OperationId(3), probe, hello));
  ASSERT_TRUE(active_.post_read(OperationId(4), {kReadable, kBase + 8}, std::span(page).first(8)));
  carry();
  for (std::uint64_t id = 1; id <= 4; ++id) {
    const auto event = active_.next_event();
    ASSERT_TRUE(event) << id;
    EXPECT_EQ(event->operation, OperationId(id));
    EXPECT_EQ(event->error, OperationError::none);
  }
  EXPECT_FALSE(active_.next_event());
  EXPECT_TRUE(std::equal(page.begin() + 8, page.end(), readable_.begin() + 8));
  EXPECT_EQ(page[0], readable_[8]);
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), writable_.begin() + 1000));
  EXPECT_EQ(stream_.next_event()->bytes, 5U);
  EXPECT_EQ(message[0], std::byte{'h'});
}

TEST_F(Talking, NeverAsksMoreReadsThanTheOtherEndAnswers) {
  begin_both(2);
  std::vector<Bytes> pages(40, Bytes(100));
  for (std::size_t i = 0; i < pages.size(); ++i) {
    ASSERT_TRUE(active_.post_read(OperationId(i), {kReadable, kBase + i}, pages[i]));
  }
  carry();
  EXPECT_FALSE(stream_.ended());
  for (std::size_t i = 0; i < pages.size(); ++i) {
    EXPECT_EQ(active_.next_event()->operation, OperationId(i));
    EXPECT_EQ(pages[i][0], readable_[i]);
  }
}

TEST_F(Talking, AnAccessErrorIsTheFirstOperationsAndEndsTheConnection) {
  Bytes page(16);
  ASSERT_TRUE(active_.post_write(OperationId(1), {kReadable, kBase}, {kReadable, kBase}, page));
  ASSERT_TRUE(active_.post_read(OperationId(2), {kReadable, kBase}, page));
  carry();
  EXPECT_TRUE(active_.ended());
  EXPECT_EQ(active_.terminate_received(), terminate::kTaggedRights);
  const auto first = active_.next_event();
  const auto second = active_.next_event();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->error, OperationError::access);
  EXPECT_EQ(second->error, OperationError::disconnected);
  EXPECT_FALSE(active_.post_read(OperationId(3), {kReadable, kBase}, page));
}

TEST_F(Talking, AnAnswerThatLiesIsNotPlaced) {
  Bytes page(16);
  const auto lie = [&](std::uint32_t stag, std::uint64_t offset, std::size_t bytes, bool last) {
    begin_both(4);
    std::ranges::fill(page, std::byte{0});
    ASSERT_TRUE(active_.post_read(OperationId(1), {kReadable, kBase}, page));
    const Bytes asked = take_output(active_);
    const auto segment = parse_segment(std::span(asked).subspan(2, get_u16(asked)));
    const auto request = parse_read_request(segment->payload);
    const Bytes payload(bytes, std::byte{0xee});
    Segment answer;
    answer.opcode = Opcode::read_response;
    answer.tagged = true;
    answer.last = last;
    answer.stag = request->sink_stag + stag;
    answer.offset = request->sink_offset + offset;
    answer.payload = payload;
    EXPECT_FALSE(feed(active_, frame_of(answer)));
    EXPECT_EQ(active_.next_event()->error, OperationError::disconnected);
    EXPECT_EQ(page, Bytes(16));
  };
  lie(1, 0, 16, true);
  lie(0, 4, 12, true);
  lie(0, 0, 17, true);
  lie(0, 0, 8, true);
  lie(0, 0, 16, false);
}

TEST(Terminates, AreUnderstoodInBothOrdersOfTheirNibbles) {
  EXPECT_EQ(parse_terminate(from_hex("01000000")), terminate::kReadInvalidStag);
  EXPECT_EQ(parse_terminate(from_hex("10000700")), terminate::kReadInvalidStag) << "as siw sends it";
  EXPECT_EQ(parse_terminate(from_hex("11000300")), terminate::kTaggedInvalidStag);
  EXPECT_EQ(parse_terminate(from_hex("21030300")), terminate::kUntaggedMessage) << "as siw sends it";
  EXPECT_TRUE(is_access_error(parse_terminate(from_hex("11010300"))));
  EXPECT_FALSE(is_access_error(parse_terminate(from_hex("20020000"))));
  EXPECT_FALSE(is_access_error(parse_terminate({})));
}

}  // namespace
}  // namespace hapair::ccm::iwarp
