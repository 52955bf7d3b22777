// SPDX-License-Identifier: Apache-2.0
// What discovery reads of processes, by name and command line. Nothing here fails: a process that
// is gone or hidden reads as empty.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lagwatch {

// Ascending. `cut` becomes true when there are too many to list.
std::vector<int> list_pids(const std::string& proc, bool& cut);

// The name of its executable, as in comm: the kernel keeps 15 bytes.
std::string process_name(const std::string& proc, int pid);

std::vector<std::string> process_arguments(const std::string& proc, int pid);

struct ProcessStatus {
  int parent = 0;
  bool container = false;  // in a PID namespace of its own: its paths are not ours
};
ProcessStatus process_status(const std::string& proc, int pid);

// The target of a symbolic link; empty: none, or not ours to see.
std::string read_link(const std::string& path);

// Without directories, and without what the kernel adds to an executable that was replaced.
std::string_view base_name(std::string_view path);

}  // namespace lagwatch
