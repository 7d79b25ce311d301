#include "ccm/fabric/iwarp/stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/base/crc32c.h"
#include "ccm/fabric/iwarp/big_endian.h"
#include "ccm/fabric/iwarp/mpa.h"

namespace hapair::ccm::iwarp {
namespace {

// STags of the answers to our own reads; nothing else of ours is registered under them.
constexpr std::uint32_t kSinkStags = 0x5200'0000;

constexpr std::size_t kOutputFrames = 4;  // of the largest size, on their way into the socket

std::size_t output_capacity(std::size_t max_payload) {
  return kOutputFrames * fpdu_shape(kUntaggedHeaderBytes + max_payload).bytes;
}

}  // namespace

Stream::Stream(std::size_t max_payload)
    : max_payload_(max_payload),
      in_capacity_(2 * fpdu_shape(kMaxUlpdu).bytes),
      out_capacity_(output_capacity(max_payload)) {
  HAPAIR_CHECK(
      max_payload >= kReadRequestBytes && max_payload % 4 == 0 && max_payload + kUntaggedHeaderBytes <= kMaxUlpdu,
      "a frame has its limits");
  in_ = std::make_unique<std::byte[]>(in_capacity_);
  out_ = std::make_unique<std::byte[]>(out_capacity_);
}

void Stream::begin(const StreamTerms& terms) {
  HAPAIR_CHECK(terms.reads_in <= kMaxReads && terms.reads_out <= kMaxReads && terms.reads_out > 0, "reads are bounded");
  terms_ = terms;
  in_first_ = in_last_ = out_first_ = out_last_ = 0;
  operations_.clear();
  answers_.clear();
  receives_.clear();
  events_.clear();
  reads_outstanding_ = 0;
  next_sink_ = 0;
  send_message_ = read_message_ = expect_send_ = expect_read_ = 1;
  send_placed_ = 0;
  ended_ = false;
  terminate_sent_.reset();
  terminate_received_.reset();
  counters_ = {};
}

// ---- own operations ----------------------------------------------------------------------------------------------

bool Stream::post(const Operation& operation) {
  if (ended_ || operations_.full() || operations_.size() + events_.size() >= kQueueDepth) return false;
  operations_.push(operation);
  pump();
  return true;
}

bool Stream::post_read(OperationId id, RemoteBuffer from, std::span<std::byte> into) {
  Operation operation;
  operation.kind = Operation::Kind::read;
  operation.id = id;
  operation.probe = from;
  operation.into = into;
  operation.data_out = true;
  return post(operation);
}

bool Stream::post_write(OperationId id, RemoteBuffer to, RemoteBuffer probe, std::span<const std::byte> from) {
  Operation operation;
  operation.kind = Operation::Kind::write;
  operation.id = id;
  operation.remote = to;
  operation.probe = probe;
  operation.from = from;
  return post(operation);
}

bool Stream::post_send(OperationId id, RemoteBuffer probe, std::span<const std::byte> message) {
  Operation operation;
  operation.kind = Operation::Kind::send;
  operation.id = id;
  operation.probe = probe;
  operation.from = message;
  return post(operation);
}

bool Stream::post_receive(OperationId id, std::span<std::byte> into) {
  if (ended_ || receives_.full()) return false;
  receives_.push({id, into});
  return true;
}

void Stream::nudge(RemoteBuffer to) {
  Segment segment;
  segment.opcode = Opcode::write;
  segment.tagged = segment.last = true;
  segment.stag = to.stag;
  segment.offset = to.offset;
  if (!ended_) (void)emit(segment, {});
}

// Moves what is due into the output, as far as there is room. Answers go first: the other end waits for them.
void Stream::pump() {
  while (!ended_ && pump_answer()) {
  }
  for (std::size_t i = 0; !ended_ && i < operations_.size(); ++i) {
    Operation& operation = operations_.at(i);
    if (operation.read_out) continue;
    if (!pump_operation(operation)) return;
  }
}

// True where one segment of an answer was put out.
bool Stream::pump_answer() {
  if (answers_.empty()) return false;
  PendingAnswer& answer = answers_.front();
  const std::size_t left = answer.source.size() - answer.emitted;
  const std::size_t n = std::min(left, max_payload_);
  Segment segment;
  segment.opcode = Opcode::read_response;
  segment.tagged = true;
  segment.last = n == left;
  segment.stag = answer.request.sink_stag;
  segment.offset = answer.request.sink_offset + answer.emitted;
  if (!emit(segment, answer.source.subspan(answer.emitted, n))) return false;
  answer.emitted += n;
  if (segment.last) {
    ++counters_.reads_served;
    answers_.pop();
  }
  return true;
}

// True where all of the operation is in the output.
bool Stream::pump_operation(Operation& operation) {
  while (!operation.data_out) {
    const std::size_t left = operation.from.size() - operation.emitted;
    const std::size_t n = std::min(left, max_payload_);
    const bool last = n == left;
    Segment segment;
    segment.last = last;
    if (operation.kind == Operation::Kind::write) {
      segment.opcode = Opcode::write;
      segment.tagged = true;
      segment.stag = operation.remote.stag;
      segment.offset = operation.remote.offset + operation.emitted;
    } else {
      segment.opcode = Opcode::send;
      segment.queue = kSendQueue;
      segment.message = send_message_;
      segment.message_offset = static_cast<std::uint32_t>(operation.emitted);
    }
    if (!emit(segment, operation.from.subspan(operation.emitted, n))) return false;
    operation.emitted += n;
    operation.data_out = last;
    if (last && operation.kind == Operation::Kind::send) ++send_message_;
  }
  return emit_read(operation);
}

bool Stream::emit_read(Operation& operation) {
  if (reads_outstanding_ >= terms_.reads_out) return false;
  const std::uint32_t sink = kSinkStags | (next_sink_ & 0xffffU);
  std::array<std::byte, kReadRequestBytes> payload{};
  encode(ReadRequest{sink, 0, static_cast<std::uint32_t>(sink_of(operation).size()), operation.probe.stag,
                     operation.probe.offset},
         payload);
  Segment segment;
  segment.opcode = Opcode::read_request;
  segment.last = true;
  segment.queue = kReadQueue;
  segment.message = read_message_;
  if (!emit(segment, payload)) return false;
  ++read_message_;
  ++next_sink_;
  ++reads_outstanding_;
  operation.sink = sink;
  operation.read_out = true;
  return true;
}

// ---- output ------------------------------------------------------------------------------------------------------

std::span<std::byte> Stream::output_space(std::size_t bytes) {
  if (out_first_ == out_last_) out_first_ = out_last_ = 0;
  if (out_capacity_ - out_last_ < bytes && out_first_ > 0) {
    std::memmove(out_.get(), out_.get() + out_first_, out_last_ - out_first_);
    out_last_ -= out_first_;
    out_first_ = 0;
  }
  if (out_capacity_ - out_last_ < bytes) return {};
  return {out_.get() + out_last_, bytes};
}

// One frame into the output; false where it has no room now.
bool Stream::emit(Segment segment, std::span<const std::byte> payload) {
  const std::size_t header = segment.tagged ? kTaggedHeaderBytes : kUntaggedHeaderBytes;
  const FpduShape shape = fpdu_shape(header + payload.size());
  const std::span<std::byte> frame = output_space(shape.bytes);
  if (frame.empty()) return false;
  put_u16(frame, static_cast<std::uint16_t>(header + payload.size()));
  encode_header(segment, frame.subspan(kFpduLengthBytes));
  std::byte* data = frame.data() + kFpduLengthBytes + header;
  if (!payload.empty()) std::memcpy(data, payload.data(), payload.size());
  std::memset(data + payload.size(), 0, shape.padding);
  std::uint32_t crc = 0;
  if (terms_.crc) crc = crc32c(frame.first(shape.bytes - kFpduCrcBytes));
  std::memcpy(frame.data() + shape.bytes - kFpduCrcBytes, &crc, sizeof crc);  // little-endian, unlike the rest
  out_last_ += shape.bytes;
  return true;
}

std::span<const std::byte> Stream::to_send() {
  if (!ended_) pump();
  return {out_.get() + out_first_, out_last_ - out_first_};
}

void Stream::sent(std::size_t bytes) {
  HAPAIR_CHECK(bytes <= out_last_ - out_first_, "no more is sent than there is");
  out_first_ += bytes;
}

// ---- input -------------------------------------------------------------------------------------------------------

std::span<std::byte> Stream::receive_space() {
  if (in_first_ == in_last_) in_first_ = in_last_ = 0;
  // What is left is the beginning of a frame, and the largest frame fits twice.
  if (in_first_ > 0 && in_capacity_ - in_last_ < in_capacity_ / 2) {
    std::memmove(in_.get(), in_.get() + in_first_, in_last_ - in_first_);
    in_last_ -= in_first_;
    in_first_ = 0;
  }
  return {in_.get() + in_last_, in_capacity_ - in_last_};
}

bool Stream::received(std::size_t bytes) {
  if (ended_) return false;
  HAPAIR_CHECK(bytes <= in_capacity_ - in_last_, "no more was received than there was room for");
  in_last_ += bytes;
  while (!ended_ && in_last_ - in_first_ >= kFpduLengthBytes) {
    const std::span<const std::byte> rest(in_.get() + in_first_, in_last_ - in_first_);
    const std::size_t length = get_u16(rest);
    const FpduShape shape = fpdu_shape(length);
    // Told at once: it would never be a segment, however much came.
    if (length < kTaggedHeaderBytes) {
      fail(terminate::kMpaLength);
      break;
    }
    if (rest.size() < shape.bytes) break;
    if (terms_.crc) {
      std::uint32_t crc = 0;
      std::memcpy(&crc, rest.data() + shape.bytes - kFpduCrcBytes, sizeof crc);
      if (crc != crc32c(rest.first(shape.bytes - kFpduCrcBytes))) {
        ++counters_.crc_errors;
        fail(terminate::kMpaCrc);
        break;
      }
    }
    in_first_ += shape.bytes;
    if (!take_frame(rest.subspan(kFpduLengthBytes, length))) break;
  }
  if (!ended_) pump();
  return !ended_;
}

bool Stream::take_frame(std::span<const std::byte> ulpdu) {
  const auto segment = parse_segment(ulpdu);
  if (!segment) {
    fail(segment.error());
    return false;
  }
  switch (segment->opcode) {
    case Opcode::write:
      return take_write(*segment);
    case Opcode::read_request:
      return take_read_request(*segment);
    case Opcode::read_response:
      return take_read_response(*segment);
    case Opcode::send:
    case Opcode::send_solicited:
      return take_send(*segment);
    case Opcode::send_invalidate:
    case Opcode::send_solicited_invalidate:
      // Nothing of ours may be invalidated by the other end.
      fail(terminate::kInvalidateStag);
      return false;
    case Opcode::terminate:
      return take_terminate(*segment);
  }
  return false;
}

const Region* Stream::region_of(std::uint32_t stag) const {
  const auto found = std::ranges::find(terms_.regions, stag, &Region::stag);
  return found == terms_.regions.end() ? nullptr : &*found;
}

bool Stream::take_write(const Segment& segment) {
  if (std::exchange(terms_.ready_to_receive, false) && segment.payload.empty()) return true;
  const Region* region = region_of(segment.stag);
  const auto refuse = [this](const TerminateCode& code) {
    fail(code);
    return false;
  };
  if (region == nullptr) return refuse(terminate::kTaggedInvalidStag);
  if (!region->remote_write) return refuse(terminate::kTaggedRights);
  if (segment.offset + segment.payload.size() < segment.offset) return refuse(terminate::kTaggedWrap);
  if (segment.offset < region->base || segment.offset - region->base > region->memory.size() ||
      region->memory.size() - (segment.offset - region->base) < segment.payload.size()) {
    return refuse(terminate::kTaggedBounds);
  }
  if (!segment.payload.empty()) {
    std::memcpy(region->memory.data() + (segment.offset - region->base), segment.payload.data(),
                segment.payload.size());
  }
  ++counters_.writes_placed;
  return true;
}

bool Stream::take_read_request(const Segment& segment) {
  const auto refuse = [this](const TerminateCode& code) {
    fail(code);
    return false;
  };
  if (segment.message != expect_read_) return refuse(terminate::kUntaggedMessage);
  if (segment.message_offset != 0 || !segment.last) return refuse(terminate::kUntaggedOffset);
  const auto request = parse_read_request(segment.payload);
  if (!request) return refuse(request.error());
  if (answers_.size() >= terms_.reads_in) return refuse(terminate::kUntaggedNoBuffer);
  const Region* region = region_of(request->source_stag);
  if (region == nullptr) return refuse(terminate::kReadInvalidStag);
  if (request->source_offset + request->length < request->source_offset) return refuse(terminate::kReadWrap);
  const std::uint64_t at = request->source_offset - region->base;
  if (request->source_offset < region->base || at > region->memory.size() ||
      region->memory.size() - at < request->length) {
    return refuse(terminate::kReadBounds);
  }
  // A read of nothing shows nothing; it tells when what came before it was placed.
  if (request->length > 0 && !region->remote_read) return refuse(terminate::kReadRights);
  ++expect_read_;
  answers_.push({*request, region->memory.subspan(at, request->length), 0});
  return true;
}

// Answers come in the order of the requests, whole and without gaps.
bool Stream::take_read_response(const Segment& segment) {
  Operation* waiting = nullptr;
  for (std::size_t i = 0; i < operations_.size() && waiting == nullptr; ++i) {
    if (operations_.at(i).read_out) waiting = &operations_.at(i);
  }
  if (waiting == nullptr || segment.stag != waiting->sink) {
    fail(terminate::kTaggedInvalidStag);
    return false;
  }
  const std::span<std::byte> sink = sink_of(*waiting);
  const std::size_t wanted = sink.size();
  if (segment.offset != waiting->placed || segment.payload.size() > wanted - waiting->placed ||
      segment.last != (segment.payload.size() == wanted - waiting->placed)) {
    fail(terminate::kTaggedBounds);
    return false;
  }
  if (!segment.payload.empty()) {
    std::memcpy(sink.data() + waiting->placed, segment.payload.data(), segment.payload.size());
  }
  waiting->placed += segment.payload.size();
  if (!segment.last) return true;
  --reads_outstanding_;
  HAPAIR_CHECK(waiting == &operations_.front(), "operations are read out in their order");
  complete_front(OperationError::none);
  return true;
}

bool Stream::take_send(const Segment& segment) {
  if (segment.message != expect_send_) {
    fail(terminate::kUntaggedMessage);
    return false;
  }
  if (receives_.empty()) {
    fail(terminate::kUntaggedNoBuffer);
    return false;
  }
  const Receive& receive = receives_.front();
  if (segment.message_offset != send_placed_) {
    fail(terminate::kUntaggedOffset);
    return false;
  }
  if (segment.payload.size() > receive.into.size() - send_placed_) {
    fail(terminate::kUntaggedTooLong);
    return false;
  }
  if (!segment.payload.empty()) {
    std::memcpy(receive.into.data() + send_placed_, segment.payload.data(), segment.payload.size());
  }
  send_placed_ += segment.payload.size();
  if (!segment.last) return true;
  events_.push(
      {StreamEvent::Kind::received, receive.id, OperationError::none, static_cast<std::uint32_t>(send_placed_)});
  receives_.pop();
  send_placed_ = 0;
  ++expect_send_;
  ++counters_.sends_placed;
  return true;
}

bool Stream::take_terminate(const Segment& segment) {
  terminate_received_ = parse_terminate(segment.payload);
  end(is_access_error(*terminate_received_) ? OperationError::access : OperationError::disconnected);
  return false;
}

// ---- the end -----------------------------------------------------------------------------------------------------

// The last word: what the other end did wrong. Frames that were not sent yet go before it.
void Stream::fail(const TerminateCode& code) {
  Segment segment;
  segment.opcode = Opcode::terminate;
  segment.last = true;
  segment.queue = kTerminateQueue;
  segment.message = 1;
  const auto payload = encode(code);
  (void)emit(segment, payload);  // without room for it the connection just ends
  terminate_sent_ = code;
  end(OperationError::disconnected);
}

void Stream::closed() {
  if (!ended_) end(OperationError::disconnected);
}

// The first operation met the error; those behind it were flushed.
void Stream::end(OperationError first) {
  ended_ = true;
  while (!operations_.empty()) {
    complete_front(first);
    first = OperationError::disconnected;
  }
  while (!receives_.empty()) receives_.pop();
}

void Stream::complete_front(OperationError error) {
  events_.push({StreamEvent::Kind::done, operations_.front().id, error, 0});
  operations_.pop();
}

std::optional<StreamEvent> Stream::next_event() {
  if (events_.empty()) return std::nullopt;
  const StreamEvent event = events_.front();
  events_.pop();
  return event;
}

}  // namespace hapair::ccm::iwarp
