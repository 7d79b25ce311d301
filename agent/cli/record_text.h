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

// The records of a decision, in the order of what they tell of, and between them what Pacemaker decided meanwhile:
// about the pair's nodes, and about the pools of that decision. Of Pacemaker's it is taken what came
//  - since the partner was last seen alive, at most five minutes before the decision's own first record;
//  - until the partner is seen otherwise or something else is begun with those pools, at most half a minute after the
//    last one, and five minutes of a decision that is a verdict.
// Empty where there is none.
std::vector<const control::v1::RecordEntry*> records_of(const control::v1::RecordsReply& records,
                                                        std::uint64_t decision);

// The timeline of `decision`: milliseconds from its first record, what happened, how long it took. Records that have no
// such number are passed over. Empty where there is none.
std::string why_text(const control::v1::RecordsReply& records, std::uint64_t decision, const Style& style);

}  // namespace hapair::cli
