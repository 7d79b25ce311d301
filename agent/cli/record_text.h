// Records for people: `hapair events` a line each, `hapair why` one decision as a timeline.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/text.h"
#include "proto/control.pb.h"

namespace hapair::cli {

// One line with its end.
std::string event_line(const control::v1::RecordEntry& record, const Style& style);

// The value of a field; empty where the record has none of that name.
std::string field_of(const control::v1::RecordEntry& record, std::string_view name);

// The decisions in these records that are worth asking about, newest first: those that moved a pool, answered an
// operator, fenced, or found the partner other than alive.
std::vector<std::uint64_t> decisions_in(const control::v1::RecordsReply& records);

// The timeline of `decision`: milliseconds from its first record, what happened, how long it took. Records that have no
// such number are passed over. Empty where there is none.
std::string why_text(const control::v1::RecordsReply& records, std::uint64_t decision, const Style& style);

}  // namespace hapair::cli
