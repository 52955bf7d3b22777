// SPDX-License-Identifier: Apache-2.0
// Options of an Apache httpd as a target.
#pragma once

#include <memory>
#include <string>

#include "collector/collector.h"

namespace lagwatch {

struct ApacheOptions {
  std::string url;   // of mod_status with ?auto, http or https, without a user
  std::string user;  // basic authentication where not empty
  std::string password_file;
  std::string ca_file;
  std::string host_header;  // instead of the URL's where not empty
};

std::unique_ptr<State> make_apache_state(ApacheOptions options);

extern const Kind kApacheKind;

}  // namespace lagwatch
