// SPDX-License-Identifier: MIT
//
// JSON (RFC 8259) that a stranger sent, read strictly: what isn't exactly one value is an error. Without GLib, since it is part of
// libtapferry, which brings nothing but the C library into the programs that load it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tapferry {

struct JsonValue {
  enum class Type { kNull, kBoolean, kNumber, kText, kArray, kObject };

  Type type = Type::kNull;
  bool boolean = false;
  int64_t number = 0;
  std::string text;
  std::vector<JsonValue> items;    // of an array; of an object its members' values
  std::vector<std::string> names;  // of an object's members, one for each of `items`, no two alike
  std::string_view source;         // the bytes that it was read from

  bool is_object() const { return type == Type::kObject; }
  bool is_text() const { return type == Type::kText; }
  // Of an object the member of that name; null if there is none, or this is no object.
  const JsonValue* member(std::string_view name) const;
};

// `text` is one value with blanks around it at most. Narrower than the RFC in what no message of ours has: numbers are whole and of
// 18 digits at most, which every reader holds; a string has no zero in it, which would end it early in everything written in C; an
// object has no name twice; and arrays and objects are nested at most `max_depth` deep.
Result<JsonValue> parse_json(std::string_view text, int max_depth);

}  // namespace tapferry
