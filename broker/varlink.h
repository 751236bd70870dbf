// SPDX-License-Identifier: MIT
//
// Varlink (https://varlink.org): messages are JSON objects, each ended by a zero byte. What a client sends is a call, what it gets a
// reply or an error. No I/O here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/json_object.h"

namespace tapferry {

// Longer than any call of ours: a SPEC of 1024 bytes with every one of them as \u00XX.
inline constexpr size_t kMaxCallBytes = 8192;

struct Call {
  std::string method;                                            // "org.tapferry.Broker.Open"
  std::map<std::string, std::optional<std::string>> parameters;  // strings, or of another type
  bool is_oneway = false;
  bool has_upgrade = false;

  // "org.tapferry.Broker", "Open"
  std::string interface() const;
  std::string member() const;
};

// Bytes as they come, whole messages as they go.
class MessageReader {
 public:
  // EMSGSIZE when the message that is being collected is too long; nothing can follow it.
  Status add(std::string_view bytes);
  // The next whole message, without its zero byte.
  std::optional<std::string> take();
  // Whether the first part of a message is there.
  bool has_part() const { return !buffer_.empty(); }

 private:
  std::string buffer_;
};

// `text` is a message without its zero byte.
Result<Call> parse_call(std::string_view text);

// The string of a parameter that has to be there; the error's object is the parameter's name.
Result<std::string> string_parameter(const Call& call, const std::string& name);
// An error that names a parameter which `call` has besides `known` (null: none).
Status check_parameters(const Call& call, const char* known);

// Replies with their zero byte.
std::string reply_message(const Json& parameters);
std::string error_message(const std::string& error, const std::string& parameter, const std::string& value);

}  // namespace tapferry
