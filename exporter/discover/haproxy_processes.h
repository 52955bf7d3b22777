// SPDX-License-Identifier: Apache-2.0
// The HAProxys that run, out of /proc: each once, however many masters, workers and old workers it
// has.
#pragma once

#include <string>
#include <vector>

namespace lagwatch {

// One HAProxy: all processes that read the same configuration.
struct HaproxyInstance {
  int pid = 0;                     // the topmost process
  std::vector<std::string> files;  // of -f, absolute where the directory is known
  bool container = false;          // in a PID namespace of its own: its paths are not ours
};

struct HaproxyProcesses {
  std::vector<HaproxyInstance>
      instances;     // by configuration, those in containers last: stable over restarts
  bool cut = false;  // there were too many processes to look at each
};

// Those named haproxy are looked at first, then others, `max_in_detail` in all.
HaproxyProcesses find_haproxys(const std::string& proc, size_t max_in_detail = 4096);

}  // namespace lagwatch
