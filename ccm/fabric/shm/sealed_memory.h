// Memory shared between two processes by its descriptor (memfd_create(2)), sealed so that neither can shorten it under
// the other: a touch beyond its end would end the process.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

// New, zeroed, of a fixed size.
std::expected<Fd, std::string> make_sealed_memory(const char* name, std::size_t bytes);

// A descriptor to hand to the partner, for memory that a caller made: read-only where `writable` is false. Seals it
// against shortening; the error says what is wrong with it.
std::expected<Fd, std::string> share_memory(int memory, std::size_t bytes, bool writable);

// Maps what another process sent. refused: it is no sealed memory of at least `bytes`, or not writable as wanted.
std::expected<Mapping, FabricError> map_foreign_memory(const Fd& memory, std::size_t bytes, bool writable);

}  // namespace hapair::ccm
