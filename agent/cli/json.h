// What the agent says, as JSON: numbers stay numbers (Protobuf's own JSON makes texts of 64-bit ones), names are the
// proto's, and every field is there.
#pragma once

#include <nlohmann/json.hpp>

#include "proto/control.pb.h"

namespace hapair::cli {

using Json = nlohmann::ordered_json;

// A message without a value is null.
Json json_of(const google::protobuf::Message& message);
// As in state_dir/records.jsonl: fields are an object.
Json json_of(const control::v1::RecordEntry& record);

}  // namespace hapair::cli
