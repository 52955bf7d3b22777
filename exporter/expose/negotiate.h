// SPDX-License-Identifier: Apache-2.0
// Which exposition format and which encoding a scraper asked for. What it says is never an error:
// it gets the default instead.
#pragma once

#include <string_view>

namespace lagwatch {

enum class Exposition { kText004, kOpenMetrics100 };

// From the header Accept (RFC 9110, section 12.5.1). OpenMetrics only where the client names it and
// likes it no less than the text format; text 0.0.4 otherwise.
Exposition choose_exposition(std::string_view accept);

// The header Content-Type that goes with it.
std::string_view content_type(Exposition exposition);

// From the header Accept-Encoding (RFC 9110, section 12.5.3): whether gzip may be sent.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace lagwatch
