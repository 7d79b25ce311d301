// Makes the area of a mailbox disk (ccm/wire/mailbox_disk.h).
#pragma once

#include <expected>
#include <string>

#include "ccm/wire/mailbox_disk.h"

namespace hapair::cli {

enum class MadeArea : std::uint8_t { made, made_anew, was_there };

// `overwrite`: what else the disk holds there is not asked about; an area of this pair's is made anew, with nothing in
// it of who owns which pool, unless a node beats there (which is looked at for some seconds). The error says what to
// do.
std::expected<MadeArea, std::string> make_mailbox_area(const std::string& device, const ccm::DiskPair& of,
                                                       bool overwrite);

}  // namespace hapair::cli
