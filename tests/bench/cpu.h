// SPDX-License-Identifier: Apache-2.0
// What the in-process benches share.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

namespace lagwatch {

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "lagwatch_bench: %s\n", why.c_str());
  std::exit(1);
}

// CPU time of this thread.
inline double thread_cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace lagwatch
