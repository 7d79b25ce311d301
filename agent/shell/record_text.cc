#include "agent/shell/record_text.h"

#include <nlohmann/json.hpp>
#include <span>

#include "ccm/wire/mac.h"

namespace hapair::agent {
namespace {

using Json = nlohmann::ordered_json;

// The value of sd-daemon(3)'s SD_INFO and so on.
std::string_view priority_of(Severity severity) {
  switch (severity) {
    case Severity::info:
      return "6";
    case Severity::notice:
      return "5";
    case Severity::warning:
      return "4";
    case Severity::error:
      return "3";
  }
  return "6";
}

std::optional<Severity> parse_severity(std::string_view text) {
  for (const Severity severity : {Severity::info, Severity::notice, Severity::warning, Severity::error}) {
    if (text == text_of(severity)) return severity;
  }
  return std::nullopt;
}

// The journal takes capital letters, digits and '_'.
std::string journal_name(std::string_view name) {
  std::string out = "HAPAIR_";
  for (const char c : name) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += lower ? static_cast<char>(c - 'a' + 'A') : kept ? c : '_';
  }
  return out;
}

template <class T>
bool take(const Json& object, const char* key, T& into) {
  const auto it = object.find(key);
  if (it == object.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!it->is_string()) return false;
  } else {
    if (!it->is_number_integer()) return false;
  }
  into = it->template get<T>();
  return true;
}

}  // namespace

std::string LoggedRecord::json_line() const {
  Json fields = Json::object();
  for (const auto& [name, value] : record.fields) fields[name] = value;
  const Json line{{"when_ns", ns_of(record.when)}, {"wall_us", wall_us},         {"severity", text_of(record.severity)},
                  {"kind", record.kind},           {"pool", record.pool.view()}, {"decision", record.decision},
                  {"text", record.text},           {"fields", std::move(fields)}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<LoggedRecord> LoggedRecord::from_json_line(std::string_view line) {
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  LoggedRecord out;
  std::int64_t when_ns = 0;
  std::string severity;
  std::string pool;
  const bool whole = take(object, "when_ns", when_ns) && take(object, "wall_us", out.wall_us) &&
                     take(object, "severity", severity) && take(object, "kind", out.record.kind) &&
                     take(object, "pool", pool) && take(object, "decision", out.record.decision) &&
                     take(object, "text", out.record.text);
  const auto parsed_severity = parse_severity(severity);
  const auto parsed_pool = pool.empty() ? PoolName{} : PoolName::parse(pool);
  const auto fields = object.find("fields");
  if (!whole || !parsed_severity || !parsed_pool || fields == object.end() || !fields->is_object()) return std::nullopt;
  out.record.when = instant_of_ns(when_ns);
  out.record.severity = *parsed_severity;
  out.record.pool = *parsed_pool;
  for (const auto& [name, value] : fields->items()) {
    if (!value.is_string()) return std::nullopt;
    out.record.fields.emplace_back(name, value.get<std::string>());
  }
  return out;
}

std::vector<std::string> journal_fields(const LoggedRecord& logged, const NodeName& node) {
  const Record& record = logged.record;
  std::vector<std::string> out{
      "MESSAGE=" + record.text,
      "PRIORITY=" + std::string(priority_of(record.severity)),
      "MESSAGE_ID=" + message_id_of(record.kind),
      "SYSLOG_IDENTIFIER=hapaird",
      "HAPAIR_KIND=" + record.kind,
      "HAPAIR_NODE=" + node.text(),
      "HAPAIR_WHEN_NS=" + std::to_string(ns_of(record.when)),
  };
  if (!record.pool.empty()) out.push_back("HAPAIR_POOL=" + record.pool.text());
  if (record.decision != 0) out.push_back("HAPAIR_DECISION=" + std::to_string(record.decision));
  for (const auto& [name, value] : record.fields) out.push_back(journal_name(name) + "=" + value);
  return out;
}

std::string message_id_of(std::string_view kind) {
  // Not a secret: a fixed key makes the hash hapair's own.
  static const ccm::Key key = ccm::Key::from_secret(std::as_bytes(std::span("hapair journal message ids, version 1")));
  ccm::ShortMac id = ccm::short_mac_of(key, {std::as_bytes(std::span(kind))});
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0fU) | 0x40U);  // the marks of a UUID of version 4 (sd-id128(3))
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3fU) | 0x80U);
  std::string out;
  for (const std::uint8_t byte : id) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace hapair::agent
