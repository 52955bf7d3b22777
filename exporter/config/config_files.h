// SPDX-License-Identifier: Apache-2.0
// Which files make up a configuration, and their texts; what cannot be read is said with what would
// allow it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/yaml_reader.h"

namespace lagwatch {

struct ConfigText {
  uint32_t number = 0;  // ConfigErrors' number of the file
  std::string text;
};

// `path` and conf.d/*.yml beside it, in name order.
std::vector<ConfigText> read_config_files(const std::string& path, ConfigErrors& errors);

}  // namespace lagwatch
