#include "ccm/daemon/phase_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <utility>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

bool of_storage(BootPhase phase) {
  return phase == BootPhase::awaiting_giveback || phase == BootPhase::storage_starting ||
         phase == BootPhase::storage_active || phase == BootPhase::storage_stopping;
}

}  // namespace

PhaseRecord::PhaseRecord(std::string file, const BootId& boot_id, BootPhase first, Instant now)
    : file_(std::move(file)), boot_id_(boot_id), phase_(first), since_(now) {
  const std::size_t slash = file_.rfind('/');
  folder_ = Fd(::open(file_.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  name_ = file_.substr(slash + 1);
  const auto content = read_file(file_, 4096);
  if (!content) return;
  std::istringstream line(*content);
  std::string boot;
  std::string phase;
  std::int64_t since_ns = 0;
  line >> boot >> phase >> since_ns;
  const auto recorded_boot = BootId::parse(boot);
  const auto recorded_phase = parse_boot_phase(phase);
  if (!line || !recorded_boot || *recorded_boot != boot_id_ || !recorded_phase) return;
  phase_ = *recorded_phase;
  since_ = instant_of_ns(since_ns);
}

bool PhaseRecord::allows(BootPhase next) const {
  if (next == BootPhase::unknown) return false;
  if (phase_ == BootPhase::unknown || next == phase_) return true;
  if (of_storage(phase_) && of_storage(next)) return true;
  return next > phase_;
}

std::expected<void, std::string> PhaseRecord::set(BootPhase next, Instant now) {
  if (next != phase_) {
    phase_ = next;
    since_ = now;
  }
  return write();
}

std::expected<void, std::string> PhaseRecord::write() const {
  const std::string temporary = name_ + ".new";
  const Fd fd(::openat(folder_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return std::unexpected(errno_text(file_ + ".new"));
  const std::string line =
      boot_id_.text() + " " + std::string(text_of(phase_)) + " " + std::to_string(ns_of(since_)) + "\n";
  if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return std::unexpected(errno_text(file_ + ".new"));
  }
  if (::renameat(folder_.get(), temporary.c_str(), folder_.get(), name_.c_str()) != 0) {
    return std::unexpected(errno_text(file_));
  }
  return {};
}

}  // namespace hapair::ccm
