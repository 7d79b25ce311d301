#include "ccm/config/document.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kMaxConfigBytes = 1U << 20;
const nlohmann::json kEmptyObject = nlohmann::json::object();

// What was found, short enough for one line.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  constexpr std::size_t kLongest = 60;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

std::string plain(double value) {
  if (value == std::floor(value)) return std::to_string(static_cast<std::int64_t>(value));
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// The keys that a document gives twice in one object, of which a parser keeps only the last: half of what was written
// would be lost without a word.
class RepeatedKeys {
 public:
  // For the parser, at each of its events.
  void see(nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    switch (event) {
      case Event::object_start:
        enter(false);
        return;
      case Event::array_start:
        enter(true);
        return;
      case Event::key:
        take_key(parsed.get<std::string>());
        return;
      case Event::object_end:
      case Event::array_end:
        open_.pop_back();
        return;
      case Event::value:
        if (!open_.empty() && open_.back().array) ++open_.back().index;
        return;
    }
  }
  [[nodiscard]] const std::vector<std::string>& found() const { return found_; }

 private:
  struct Level {
    std::string path;
    bool array = false;
    std::size_t index = 0;  // of the next element of an array
    std::string key;        // of the last member of an object
    std::set<std::string> keys;
  };

  static std::string member(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }
  void enter(bool array) {
    std::string path;
    if (!open_.empty()) {
      Level& above = open_.back();
      path = above.array ? above.path + "[" + std::to_string(above.index++) + "]" : member(above.path, above.key);
    }
    open_.push_back({.path = std::move(path), .array = array, .index = 0, .key = {}, .keys = {}});
  }
  void take_key(std::string key) {
    Level& level = open_.back();
    if (!level.keys.insert(key).second) found_.push_back(member(level.path, key));
    level.key = std::move(key);
  }

  std::vector<Level> open_;
  std::vector<std::string> found_;
};

std::pair<std::size_t, std::size_t> line_and_column(const std::string& text, std::size_t byte) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i + 1 < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return {line, column};
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string nearest;
  std::size_t best = 4;  // further away than this a suggestion only confuses
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

void ConfigProblems::add(const std::string& key, const std::string& found, const std::string& allowed) {
  lines_.push_back(file_ + ": " + key + ": found " + found + "; allowed: " + allowed);
}

void ConfigProblems::add_sentence(const std::string& key, const std::string& sentence) {
  lines_.push_back(file_ + ": " + (key.empty() ? "" : key + ": ") + sentence);
}

ConfigObject::ConfigObject(const nlohmann::json* object, std::string path, ConfigProblems& problems)
    : object_(object), path_(std::move(path)), problems_(&problems) {}

std::string ConfigObject::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

bool ConfigObject::has(std::string_view key) const { return object_->contains(std::string(key)); }

const nlohmann::json* ConfigObject::find(std::string_view key) {
  known_.emplace(key);
  const auto it = object_->find(std::string(key));
  return it == object_->end() ? nullptr : &*it;
}

void ConfigObject::leave(std::string_view key) { known_.emplace(key); }

void ConfigObject::required_missing(std::string_view key, const std::string& allowed) {
  problems_->add(path(key), "nothing", allowed + " (this key is required)");
}

std::string ConfigObject::text(std::string_view key, std::optional<std::string> fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (!fallback) required_missing(key, "a text");
    return fallback.value_or("");
  }
  if (!value->is_string() || (value->get_ref<const std::string&>().empty() && (!fallback || !fallback->empty()))) {
    problems_->add(path(key), shown(*value), "a text that is not empty");
    return fallback.value_or("");
  }
  return value->get<std::string>();
}

bool ConfigObject::boolean(std::string_view key, bool fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    problems_->add(path(key), shown(*value), "true or false");
    return fallback;
  }
  return value->get<bool>();
}

std::int64_t ConfigObject::integer(std::string_view key, std::optional<std::int64_t> fallback, std::int64_t min,
                                   std::int64_t max) {
  const std::string allowed = "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (!fallback) required_missing(key, allowed);
    return fallback.value_or(min);
  }
  const bool fits =
      value->is_number_integer() &&
      (!value->is_number_unsigned() || value->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX));
  if (!fits || value->get<std::int64_t>() < min || value->get<std::int64_t>() > max) {
    problems_->add(path(key), shown(*value), allowed);
    return fallback.value_or(min);
  }
  return value->get<std::int64_t>();
}

Duration ConfigObject::milliseconds(std::string_view key, std::optional<double> fallback_ms, double min_ms,
                                    double max_ms) {
  const std::string allowed = "milliseconds, a number from " + plain(min_ms) + " to " + plain(max_ms);
  const auto as_duration = [](double ms) { return Duration(static_cast<std::int64_t>(std::llround(ms * 1e6))); };
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (!fallback_ms) required_missing(key, allowed);
    return as_duration(fallback_ms.value_or(min_ms));
  }
  const double ms = value->is_number() ? value->get<double>() : std::nan("");
  if (!(ms >= min_ms && ms <= max_ms)) {
    problems_->add(path(key), shown(*value), allowed);
    return as_duration(fallback_ms.value_or(min_ms));
  }
  return as_duration(ms);
}

std::size_t ConfigObject::choice(std::string_view key, std::optional<std::size_t> fallback,
                                 std::span<const std::string_view> words) {
  std::string allowed = "one of";
  for (std::size_t i = 0; i < words.size(); ++i) allowed += (i == 0 ? " \"" : ", \"") + std::string(words[i]) + "\"";
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (!fallback) required_missing(key, allowed);
    return fallback.value_or(0);
  }
  if (value->is_string()) {
    const auto it = std::ranges::find(words, std::string_view(value->get_ref<const std::string&>()));
    if (it != words.end()) return static_cast<std::size_t>(it - words.begin());
  }
  problems_->add(path(key), shown(*value), allowed);
  return fallback.value_or(0);
}

ConfigObject ConfigObject::object(std::string_view key, bool required) {
  const nlohmann::json* value = find(key);
  if (value == nullptr && required) required_missing(key, "an object");
  if (value != nullptr && !value->is_object()) {
    problems_->add(path(key), shown(*value), "an object: { ... }");
    value = nullptr;
  }
  return {value != nullptr ? value : &kEmptyObject, path(key), *problems_};
}

std::vector<ConfigObject> ConfigObject::objects(std::string_view key, bool required) {
  std::vector<ConfigObject> out;
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (required) required_missing(key, "an array of objects");
    return out;
  }
  if (!value->is_array()) {
    problems_->add(path(key), shown(*value), "an array of objects: [ {...}, ... ]");
    return out;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    const std::string place = path(key) + "[" + std::to_string(i) + "]";
    if ((*value)[i].is_object()) {
      out.emplace_back(&(*value)[i], place, *problems_);
    } else {
      problems_->add(place, shown((*value)[i]), "an object: { ... }");
    }
  }
  return out;
}

std::vector<std::string> ConfigObject::texts(std::string_view key) {
  std::vector<std::string> out;
  const nlohmann::json* value = find(key);
  if (value == nullptr) return out;
  const bool all_text =
      value->is_array() && std::ranges::all_of(*value, [](const nlohmann::json& item) { return item.is_string(); });
  if (!all_text) {
    problems_->add(path(key), shown(*value), "an array of texts: [\"...\", ...]");
    return out;
  }
  for (const auto& item : *value) out.push_back(item.get<std::string>());
  return out;
}

std::vector<std::pair<std::string, std::string>> ConfigObject::text_map(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  const nlohmann::json* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_object()) {
    problems_->add(path(key), shown(*value), "an object of names and values");
    return out;
  }
  for (const auto& [name, item] : value->items()) {
    if (item.is_string()) {
      out.emplace_back(name, item.get<std::string>());
    } else if (item.is_number() || item.is_boolean()) {
      out.emplace_back(name, item.dump());
    } else {
      problems_->add(path(key) + "." + name, shown(item), "a text, a number, true or false");
    }
  }
  return out;
}

void ConfigObject::finish() {
  for (const auto& [name, item] : object_->items()) {
    if (known_.contains(name)) continue;
    const std::string nearest = nearest_word(name, {known_.begin(), known_.end()});
    std::string allowed;
    for (const std::string& candidate : known_) {
      if (!allowed.empty()) allowed += ", ";
      allowed += candidate;
    }
    std::string sentence = "unknown key";
    if (!nearest.empty()) sentence.append(" (did you mean \"").append(nearest).append("\"?)");
    sentence.append("; allowed here: ").append(allowed);
    problems_->add_sentence(path(name), sentence);
  }
}

std::expected<nlohmann::json, ConfigProblems> load_document(const std::string& file) {
  ConfigProblems problems(file);
  auto content = read_file(file, kMaxConfigBytes);
  if (!content) {
    problems.add_sentence("", "the configuration cannot be read (" + content.error() + ")");
    return std::unexpected(problems);
  }
  try {
    RepeatedKeys repeated;
    const auto look = [&repeated](int /*depth*/, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
      repeated.see(event, parsed);
      return true;
    };
    nlohmann::json document = nlohmann::json::parse(*content, look, true, true);
    for (const std::string& path : repeated.found()) {
      problems.add(path, "this key more than once in one object", "once; only the last one would count");
    }
    if (!document.is_object()) {
      problems.add_sentence("", "found " + shown(document) + " at the top; allowed: one JSON object { ... }");
    }
    if (problems.empty()) return document;
  } catch (const nlohmann::json::parse_error& error) {
    const auto [line, column] = line_and_column(*content, error.byte);
    std::string what = error.what();
    const std::size_t detail = what.find("syntax error");
    problems.add_sentence("line " + std::to_string(line) + ", column " + std::to_string(column),
                          detail == std::string::npos ? what : what.substr(detail));
  }
  return std::unexpected(problems);
}

}  // namespace hapair::ccm
