// Tells a page that says no more than the one before, but that everything beats on, from one that has news: who acts on
// news wants it at once, and need not be woken for the rest. Pure; no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ccm/wire/status_page.h"

namespace hapair::ccm {

class PageNews {
 public:
  // `page` is whole, and the next that was read after the one given before; the first has news. So has one whose CCM
  // has not beaten since, and the first in which it has again. What clients tell of their beats and work, and how long
  // a phase lasts, is no news.
  bool take(std::span<const std::byte, kPageBytes> page);
  // The next page has news, whatever it says.
  void forget() { known_ = false; }

 private:
  bool known_ = false;
  bool stood_ = false;
  std::uint64_t beat_ = 0;
  std::array<std::byte, kPageBytes> last_{};  // with zeros for what moves by itself
};

}  // namespace hapair::ccm
