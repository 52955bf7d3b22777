// SPDX-License-Identifier: Apache-2.0
// The way from libmicrohttpd's C calls to an HttpRequest.
#include "expose/mhd_request.h"

#include <strings.h>

#include <string>

#include "base/text.h"
#include "expose/address.h"
#include "expose/request_target.h"

namespace lagwatch {
namespace {

MHD_Result keep_header(void* cls, MHD_ValueKind, const char* key, const char* value) noexcept {
  HttpRequest& request = *static_cast<HttpRequest*>(cls);
  if (value == nullptr) return MHD_YES;
  if (strcasecmp(key, "Host") == 0) request.host = value;
  const bool accept = strcasecmp(key, "Accept") == 0;
  if (!accept && strcasecmp(key, "Accept-Encoding") != 0) return MHD_YES;
  std::string& out = accept ? request.accept : request.accept_encoding;
  if (!out.empty()) out += ", ";
  out += value;
  return MHD_YES;
}

}  // namespace

int descriptor_of(MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

void read_request_line(MHD_Connection* connection, const char* target, HttpRequest& request) {
  const MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  request.from_loopback = is_loopback(*info->client_addr);
  if (target != nullptr) parse_target(target, request);
}

void read_headers(MHD_Connection* connection, const char* method, HttpRequest& request) {
  request.method = method;
  MHD_get_connection_values(connection, MHD_HEADER_KIND, &keep_header, &request);
}

uint64_t content_length(MHD_Connection* connection) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
  return value == nullptr ? 0 : parse_number<uint64_t>(value).value_or(0);
}

}  // namespace lagwatch
