// SPDX-License-Identifier: MIT
//
// JSON (RFC 8259) that a stranger sent, and what we send to strangers, by nlohmann-json. That has no shared library, so libtapferry
// brings nothing but the C library into the programs that load it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tapferry {

using Json = nlohmann::ordered_json;

// `text` is one object from its first byte on, with nothing but blanks behind it. Stricter than the RFC: no object has a key twice, no
// string has a zero in it, which would end it early in everything written in C, and objects and arrays are nested at
// most `max_depth` deep.
Result<Json> parse_json_object(std::string_view text, int max_depth);

// A member of that type; null if there is none, or `object` is null or no object.
const Json* find_member(const Json* object, const char* name);
const Json* find_object(const Json* object, const char* name);
const std::string* find_text(const Json* object, const char* name);

// On one line, without a newline. Of strings, bytes that are no UTF-8 become U+FFFD.
std::string to_text(const Json& json);

}  // namespace tapferry
