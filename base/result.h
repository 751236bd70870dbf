// SPDX-License-Identifier: MIT
//
// Errors as values. A library function returns Result<T>; a program prints the Error, once.
// An Error is one line in the making: what was being done, to what, why it failed, and what the reader can do about it.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tapferry {

class [[nodiscard]] Error {
 public:
  // `action` and `object` make the left side of the line ("open" "/dev/net/tun"), `reason` the right one.
  Error(std::string_view action, std::string_view object, std::string_view reason)
      : action_(action), object_(object), reason_(reason) {}

  // The reason is strerror(code). `code` is an errno value, not negative.
  static Error from_errno(std::string_view action, std::string_view object, int code);

  // What the reader can do about it; appended to the line after "; ".
  Error&& with_hint(std::string_view hint) && {
    hint_ = hint;
    return std::move(*this);
  }

  // Another reason than the one made from an errno value, which stays its code.
  Error&& with_reason(std::string_view reason) && {
    reason_ = reason;
    return std::move(*this);
  }

  // More words about the reason, from whoever gave it; in brackets behind it.
  Error&& with_detail(std::string_view detail) && {
    reason_ += " (";
    reason_ += detail;
    reason_ += ")";
    return std::move(*this);
  }

  // The errno behind the error, 0 if there was none.
  int code() const { return code_; }
  const std::string& action() const { return action_; }
  const std::string& object() const { return object_; }
  const std::string& reason() const { return reason_; }
  const std::string& hint() const { return hint_; }

  // "ACTION OBJECT: REASON; HINT", one line: control characters are escaped, since parts of it come from strangers.
  std::string line() const;

 private:
  std::string action_;
  std::string object_;
  std::string reason_;
  std::string hint_;
  int code_ = 0;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  bool is_ok() const { return value_.has_value(); }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<T> value_;
  std::optional<Error> error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool is_ok() const { return !error_.has_value(); }
  void value() const {}
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace tapferry

// The value of a Result, or a return of its error from the enclosing function.
#define TRY(expression)                                              \
  ({                                                                 \
    auto try_result_ = (expression);                                 \
    if (!try_result_.is_ok()) return std::move(try_result_).error(); \
    std::move(try_result_).value();                                  \
  })
