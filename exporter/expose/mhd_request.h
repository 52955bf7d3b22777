// SPDX-License-Identifier: Apache-2.0
// What a handler needs to know of a request, read out of libmicrohttpd.
#pragma once

#include <microhttpd.h>

#include <cstdint>

#include "model/http.h"

namespace lagwatch {

// Valid from the connection's start to its close.
int descriptor_of(MHD_Connection* connection);

// Path, query and peer. `target` is as sent; null where the request line has none.
void read_request_line(MHD_Connection* connection, const char* target, HttpRequest& request);
// The method, and the headers that HttpRequest has a place for.
void read_headers(MHD_Connection* connection, const char* method, HttpRequest& request);
// As announced; 0 where it is not.
uint64_t content_length(MHD_Connection* connection);

}  // namespace lagwatch
