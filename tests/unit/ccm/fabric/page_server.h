// The partner's process of a contract rig: it serves its pages, and tells its mailbox to whoever asks over a channel.
#pragma once

#include <cstddef>

#include "ccm/fabric/fabric.h"

namespace hapair::ccm {

// `fabric` is open; every byte of its status page becomes `mark`. Writes one byte to `channel` when it serves, and for
// each byte that it reads there the mailbox page; ends when the channel does.
void serve_pages(Fabric& fabric, std::byte mark, int channel);

}  // namespace hapair::ccm
