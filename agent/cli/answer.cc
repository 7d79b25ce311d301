#include "agent/cli/answer.h"

#include <cstdio>

namespace hapair::cli {

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void print_json(const Json& json) { print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }

Exit complain(const Common& common, const Failure& failure) {
  if (common.json) print_json({{"error", failure.text}});
  std::fprintf(stderr, "hapair: %s\n", failure.text.c_str());
  return failure.exit;
}

}  // namespace hapair::cli
