// A node's block of a mailbox disk, which whoever reaches the disk can write: the notice beside its beat.
//   byte 0: bit 0 the notice is sealed with the beat before it; the rest is the block
#include <algorithm>
#include <cstring>
#include <vector>

#include "ccm/wire/notice.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::ccm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Key key =
      notice_key(Key::from_secret(std::as_bytes(std::span("a secret of at least thirty-two bytes"))));
  fuzz::Input input(data, size);
  const bool sealed = input.byte() % 2 == 1;
  const auto rest = input.rest();
  DiskBlock block{};
  std::copy_n(rest.begin(), std::min(rest.size(), block.size()), block.begin());
  const auto beat = parse_beat(std::span(block).first(kBeatBytes));
  if (!beat) return 0;
  if (sealed) {
    NoticeLayout in;
    std::memcpy(&in, block.data() + kNoticeAt, sizeof in);
    const DiskBlock before = block;
    encode_notice(block, std::span(before).first<kBeatBytes>(), in.agent, key);
  }
  const auto notice = open_notice(block, *beat, key);
  const bool counts = notice && notice->there;
  FUZZ_CHECK(counts == sealed);  // without the key nothing does
  return 0;
}
