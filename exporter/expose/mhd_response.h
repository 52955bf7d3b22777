// SPDX-License-Identifier: Apache-2.0
// An HttpResponse in libmicrohttpd's terms: headers, and a body that is handed on piece by piece.
#pragma once

#include <microhttpd.h>

#include <functional>
#include <memory>

#include "model/http.h"

namespace lagwatch {

struct DestroyMhdResponse {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using MhdResponse = std::unique_ptr<MHD_Response, DestroyMhdResponse>;

// Null without memory. A source that throws ends the connection in the middle of the answer, so
// that the client sees it is not whole; `on_failure` is called first, on libmicrohttpd's thread.
MhdResponse make_mhd_response(HttpResponse response,
                              std::function<void(const char* what)> on_failure);

}  // namespace lagwatch
