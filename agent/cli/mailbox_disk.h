// Makes the area of a mailbox disk (ccm/wire/mailbox_disk.h).
#pragma once

#include <expected>
#include <string>

#include "ccm/wire/mailbox_disk.h"

namespace hapair::cli {

enum class MadeArea : std::uint8_t { made, was_there };

// `overwrite`: what else the disk holds there is not asked about. The error says what to do.
std::expected<MadeArea, std::string> make_mailbox_area(const std::string& device, const ccm::DiskPair& of,
                                                       bool overwrite);

}  // namespace hapair::cli
