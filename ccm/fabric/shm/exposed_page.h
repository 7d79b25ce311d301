// A page that this node exposes to its partner: one file, new for each life of the CCM, so that a connection to an
// earlier life cannot reach into this one's memory.
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>

#include "ccm/base/fd.h"

namespace hapair::ccm {

class ExposedPage {
 public:
  // Makes DIR/NAME anew, zeroed, with mode 0600, locked where `lock`, and puts it in the place of an earlier life's.
  static std::expected<ExposedPage, std::string> make(const std::string& path, bool lock);
  ExposedPage() = default;
  ExposedPage(ExposedPage&&) noexcept = default;
  ExposedPage& operator=(ExposedPage&&) noexcept = default;
  ExposedPage(const ExposedPage&) = delete;
  ExposedPage& operator=(const ExposedPage&) = delete;
  ~ExposedPage();  // takes the file away, then lets the lock go

  [[nodiscard]] std::span<std::byte> bytes() const { return mapping_.bytes(); }

 private:
  std::string path_;
  Fd fd_;
  Mapping mapping_;
};

}  // namespace hapair::ccm
