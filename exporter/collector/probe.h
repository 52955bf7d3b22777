// SPDX-License-Identifier: Apache-2.0
// Options of a URL that is asked as visitors or health checks ask it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "collector/collector.h"

namespace lagwatch {

struct ProbeOptions {
  std::string url;   // http or https, without a user
  std::string user;  // basic authentication where not empty
  std::string password_file;
  std::string ca_file;
  std::string host_header;         // instead of the URL's where not empty
  std::vector<int> expect_status;  // empty: 200 to 299
  std::string expect_body;         // RE2; empty: anything
  std::string reject_body;         // RE2; empty: nothing
};

std::unique_ptr<State> make_probe_state(ProbeOptions options);

extern const Kind kProbeKind;

}  // namespace lagwatch
