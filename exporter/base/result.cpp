// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

namespace lagwatch {

std::string_view reason_name(Reason reason) {
  switch (reason) {
    case Reason::kResolve:
      return "resolve";
    case Reason::kRefused:
      return "refused";
    case Reason::kConnectTimeout:
      return "connect_timeout";
    case Reason::kHung:
      return "hung";
    case Reason::kStalled:
      return "stalled";
    case Reason::kReset:
      return "reset";
    case Reason::kTls:
      return "tls";
    case Reason::kAuth:
      return "auth";
    case Reason::kPermission:
      return "permission";
    case Reason::kHttpStatus:
      return "http_status";
    case Reason::kProtocol:
      return "protocol";
    case Reason::kTooLarge:
      return "too_large";
    case Reason::kTooManyConnections:
      return "too_many_connections";
    case Reason::kStartingUp:
      return "starting_up";
    case Reason::kUnsupported:
      return "unsupported";
  }
  return "protocol";
}

}  // namespace lagwatch
