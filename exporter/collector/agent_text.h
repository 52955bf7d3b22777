// SPDX-License-Identifier: Apache-2.0
// Text exposition 0.0.4, read line by line: strict within a line, tolerant over lines. Source:
// prometheus.io/docs/instrumenting/exposition_formats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/remote_facts.h"

namespace lagwatch {

// Reads samples out of `text`, which outlives it. Comments (HELP and TYPE among them) are passed
// over: what a family is, the catalogue says. Timestamps are checked and not kept.
class AgentText {
 public:
  explicit AgentText(std::string_view text) : rest_(text) {}

  // The next sample; its texts are valid until the next call. False at the end.
  bool next(RemoteSample& sample);

  // Lines passed over because they are no samples; the last one too where it does not end.
  uint64_t rejected() const { return rejected_; }

 private:
  bool read_line(std::string_view line, RemoteSample& sample);
  bool read_labels(std::string_view& line, RemoteSample& sample);
  bool read_label_value(std::string_view& line, std::string_view& value);

  std::string_view rest_;
  std::string unescaped_;  // values with escapes; reserved for a whole line, so that it never moves
  uint64_t rejected_ = 0;
};

}  // namespace lagwatch
