// SPDX-License-Identifier: Apache-2.0
#include "scrape/options.h"

#include "model/table.h"

namespace lagwatch {

std::string label_block(const TargetOptions& options) {
  std::string block;
  append_label(block, "target", options.name);
  for (const auto& [name, value] : options.labels) append_label(block, name, value);
  return block;
}

}  // namespace lagwatch
