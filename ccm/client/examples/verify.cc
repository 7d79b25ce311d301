// After the fact, from files alone: the receiver's log holds every record that the sender had been told is mirrored.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/client/examples/options.h"
#include "ccm/client/examples/record.h"

namespace hapair::mirror {
namespace {

struct Found {
  std::uint64_t run = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t records = 0;
  std::uint64_t missing = 0;  // between first and last
  std::uint64_t torn = 0;
};

// Of one run; a receiver that was replaced may have taken a record a second time.
Found look_at(const Fd& log, std::size_t record_bytes, std::uint64_t run) {
  Found found;
  found.run = run;
  std::vector<std::byte> record(record_bytes);
  while (true) {
    const ssize_t got = ::read(log.get(), record.data(), record.size());
    if (got <= 0) return found;
    const auto header = read_record(std::span(record).first(static_cast<std::size_t>(got)));
    if (!header) {
      ++found.torn;
      continue;
    }
    if (header->run != run) continue;
    ++found.records;
    if (found.first == 0) found.first = header->sequence;
    if (found.last != 0 && header->sequence > found.last + 1) found.missing += header->sequence - found.last - 1;
    found.last = std::max(found.last, header->sequence);
  }
}

}  // namespace

int verify_log(const Options& options) {
  const auto text = read_file(options.acknowledged, sizeof(Note) + 1);
  if (!text || text->size() != sizeof(Note)) {
    std::fprintf(stderr, "mirror: %s is not what a sender leaves\n", options.acknowledged.c_str());
    return 2;
  }
  Note note{};
  std::memcpy(&note, text->data(), sizeof note);
  const Fd log(::open(options.log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log.valid()) {
    std::fprintf(stderr, "mirror: %s\n", errno_text(options.log).c_str());
    return 2;
  }
  const Found found = look_at(log, options.record_bytes, note.run);
  const std::uint64_t behind = note.acknowledged > found.last ? note.acknowledged - found.last : 0;
  const bool whole_start = note.acknowledged == 0 || found.first == 1;
  const bool good = behind == 0 && found.missing == 0 && found.torn == 0 && whole_start;
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(options.json
                  ? "{\"acknowledged\": %llu, \"first\": %llu, \"last\": %llu, \"records\": %llu, "
                    "\"missing\": %llu, \"torn\": %llu, \"lost\": %llu}\n"
                  : "%llu records acknowledged; the log has %llu to %llu (%llu records), %llu missing between, "
                    "%llu torn; acknowledged and lost: %llu\n",
              number(note.acknowledged), number(found.first), number(found.last), number(found.records),
              number(found.missing), number(found.torn), number(behind + found.missing));
  return good ? 0 : 1;
}

}  // namespace hapair::mirror
