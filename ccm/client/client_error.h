// Why the CCM cannot be used.
#pragma once

#include <cstdint>
#include <string>

#include "ccm/wire/observation.h"

namespace hapair::ccm {

struct ClientError {
  enum class Kind : std::uint8_t { not_running, refused, broken };
  Kind kind = Kind::broken;
  ClientRefusal refusal = ClientRefusal::none;  // of Kind::refused
  std::string text;                             // a sentence for the operator
};

}  // namespace hapair::ccm
