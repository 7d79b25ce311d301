// A record as others keep it: one line of JSON in files and on the command line, structured fields in the journal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/model.h"

namespace hapair::agent {

struct LoggedRecord {
  Record record;
  std::int64_t wall_us = 0;  // microseconds since 1970, for people
  bool operator==(const LoggedRecord& other) const { return json_line() == other.json_line(); }

  // {"when_ns","wall_us","severity","kind","pool","decision","text","fields":{}} without a line end. Valid UTF-8.
  [[nodiscard]] std::string json_line() const;
  // Nothing where the line is no such object.
  static std::optional<LoggedRecord> from_json_line(std::string_view line);
};

// "NAME=value" fields of sd_journal_sendv(3): MESSAGE, PRIORITY, MESSAGE_ID, SYSLOG_IDENTIFIER, HAPAIR_*.
std::vector<std::string> journal_fields(const LoggedRecord& record, const NodeName& node);

// The 128-bit id of a kind, in 32 hexadecimal digits: the same in every version of hapair, so that
// `journalctl MESSAGE_ID=...` finds what it always found.
std::string message_id_of(std::string_view kind);

}  // namespace hapair::agent
