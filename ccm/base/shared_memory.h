// Memory that is shared with another process by its descriptor.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "ccm/base/fd.h"

namespace hapair {

// Zeroed memory of a fixed size that really is there (memfd_create(2), fallocate(2)), sealed: whoever holds it can
// touch all of it without being ended for it.
std::expected<Fd, std::string> sealed_memory(const char* name, std::uint64_t bytes);

}  // namespace hapair
