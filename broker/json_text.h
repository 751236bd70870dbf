// SPDX-License-Identifier: MIT
//
// What may reach json-glib's parser. It is recursive, and takes more than JSON (comments, `var x = ...`, several roots), so a pass
// over the text comes first, without recursion.
#pragma once

#include <string_view>

#include "base/result.h"

namespace tapferry {

// Deeper than any call of ours.
inline constexpr size_t kMaxJsonDepth = 16;

// That `text` is UTF-8, one object from its first to its last byte, nested kMaxJsonDepth deep at most, of JSON's tokens only, and
// without a zero in a string, which would end it early in everything that is written in C. Whether the tokens stand in an order
// that JSON allows is left to the parser.
Status check_json_text(std::string_view text);

}  // namespace tapferry
