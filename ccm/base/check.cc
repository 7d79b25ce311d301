#include "ccm/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace hapair {

void check_failed(const char* condition, const char* why, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: internal error: %s (%s); this process stops so that its partner can see it stop\n", file,
               line, why, condition);
  std::abort();
}

}  // namespace hapair
