// HAPAIR_CHECK is for our own logic: a condition that only a mistake in this program can break. It is never used on
// bytes that come from the partner, the disk or the operator; those are refused, counted and reported.
#pragma once

namespace hapair {

[[noreturn]] void check_failed(const char* condition, const char* why, const char* file, int line);

}  // namespace hapair

#define HAPAIR_CHECK(condition, why) \
  (static_cast<bool>(condition) ? static_cast<void>(0) : ::hapair::check_failed(#condition, why, __FILE__, __LINE__))
