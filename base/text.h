// SPDX-License-Identifier: MIT
//
// Putting strangers' bytes on a line that a person or a log reads.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tapferry {

// Control characters, DEL and the backslash become \n, \t or \xHH; bytes above 0x7f stay if they are
// well-formed UTF-8 that isn't a C1 control, since terminals act on those too.
std::string escape(std::string_view text);

// Whether all of it is well-formed UTF-8.
bool is_utf8(std::string_view text);

// The inside of a JSON string (RFC 8259, section 7). Bytes that are no UTF-8 become U+FFFD.
std::string json_escape(std::string_view text);

// key="value", the value escaped as in JSON: a field of an audit line.
std::string json_field(std::string_view key, std::string_view value);

// The same, with at most `max_bytes` (8 at least) between the quotation marks: what is longer is cut between two characters, and
// "..." stands in its place.
std::string json_field(std::string_view key, std::string_view value, size_t max_bytes);

// "key":"value", with both escaped.
std::string json_pair(std::string_view key, std::string_view value);

}  // namespace tapferry
