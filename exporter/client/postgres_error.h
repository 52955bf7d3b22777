// SPDX-License-Identifier: Apache-2.0
// libpq's words as reasons; the one place where they are translated.
#pragma once

#include <string_view>

#include "base/result.h"

namespace lagwatch {

// A connection that could not be made: libpq's message, made with PQERRORS_VERBOSE so that the
// server's SQLSTATE is in it whatever language its messages are in.
Error postgres_connect_error(std::string_view message);

// A connection that was lost while asking.
Error postgres_lost_error(std::string_view message);

// The SQLSTATE in a verbose message ("FATAL:  28P01: ..."); empty where there is none.
std::string_view sqlstate_in(std::string_view message);

}  // namespace lagwatch
