// SPDX-License-Identifier: Apache-2.0
// The least that any reader of a stats socket costs.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace lagwatch {

// Asks `count` times, `pause` apart, with blocking calls and looks at nothing: connect, send, read,
// close. Prints one JSON object.
void bench_reader(const std::string& path, size_t count, std::chrono::milliseconds pause);

}  // namespace lagwatch
