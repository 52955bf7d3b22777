// SPDX-License-Identifier: Apache-2.0
// Failures of the outside world as values: a bounded reason (it becomes a label), and words for
// people.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace lagwatch {

// Why a target did not answer. Closed: each one is a value of the label `reason`.
enum class Reason {
  kResolve,
  kRefused,
  kConnectTimeout,
  kHung,     // connected, and not one byte came before the deadline
  kStalled,  // the answer began and did not end before the deadline
  kReset,
  kTls,
  kAuth,
  kPermission,
  kHttpStatus,
  kProtocol,
  kTooLarge,
  kTooManyConnections,
  kStartingUp,
  kUnsupported,
};

std::string_view reason_name(Reason reason);

struct Error {
  Reason reason = Reason::kProtocol;
  std::string message;  // what was being done to whom, and what happened; never a secret
  std::string fix;      // what to do about it, a command where there is one; may be empty
};

// A T, or the Error that came instead of it.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : value_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& operator*() & { return std::get<0>(value_); }
  const T& operator*() const& { return std::get<0>(value_); }
  T&& operator*() && { return std::get<0>(std::move(value_)); }
  T* operator->() { return &std::get<0>(value_); }
  const T* operator->() const { return &std::get<0>(value_); }

  const Error& error() const { return std::get<1>(value_); }

 private:
  std::variant<T, Error> value_;
};

// Success, or the Error that came instead of it.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace lagwatch
