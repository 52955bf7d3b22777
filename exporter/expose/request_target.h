// SPDX-License-Identifier: Apache-2.0
// The target of a request line, taken apart: libmicrohttpd's own reading ends a path at an encoded
// NUL.
#pragma once

#include <string_view>

#include "model/http.h"

namespace lagwatch {

// Fills path and query, percent-decoded; in the query `+` is a blank. A wrong escape stays as it
// is. Of "http://host/path" only the path counts.
void parse_target(std::string_view target, HttpRequest& request);

}  // namespace lagwatch
