// The mailbox page, which anybody who reaches it can write: each record, and a handshake that finds it.
//   byte 0: bit 0 and 1 the checksum of the first and second record are put right, bit 2 the partner's golden page was
//   read before; the rest is the mailbox
#include <array>

#include "ccm/base/crc32c.h"
#include "ccm/wire/mailbox_page.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/machine.h"
#include "tests/unit/ccm/wire/golden.h"

using namespace hapair;
using namespace hapair::ccm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t options = input.byte();
  const auto bytes = input.rest();
  for (const RecordKind kind : {RecordKind::hello, RecordKind::connected, RecordKind::poison})
    (void)parse_record(bytes, kind);
  std::array<std::byte, kPageBytes> mailbox{};
  std::ranges::copy(bytes.first(std::min(bytes.size(), mailbox.size())), mailbox.begin());
  for (const RecordKind kind : {RecordKind::hello, RecordKind::connected}) {
    const auto record = std::span(mailbox).subspan(record_offset(kind), kRecordBytes);
    if ((options & static_cast<unsigned>(kind)) != 0) {
      const std::uint32_t crc = crc32c(record.subspan(offsetof(RecordLayout, kind)));
      std::memcpy(record.data() + offsetof(RecordLayout, crc), &crc, sizeof crc);
    }
    const auto view = parse_record(record, kind);
    if (view) FUZZ_CHECK(view->kind == kind && !view->pair.empty() && !view->from.empty());
    (void)parse_record(record, kind == RecordKind::hello ? RecordKind::connected : RecordKind::hello);
  }
  fuzz::Machine machine;
  static const auto kPage = golden_bytes(kGoldenPage, kPageBytes);
  if ((options & 4U) != 0) machine.read(kPage);
  machine.find(mailbox);
  if ((options & 4U) != 0) machine.read(kPage);
  machine.check();
  return 0;
}
