// SPDX-License-Identifier: MIT
//
// Strict parsing: a text is what it should be from its first byte to its last, or it is nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tapferry {

// A decimal number without sign, blank or leading zero ("0" itself is fine), from `low` to `high`.
std::optional<uint64_t> parse_uint(std::string_view text, uint64_t low, uint64_t high);

// "on" or "off".
std::optional<bool> parse_on_off(std::string_view text);

// The parts between separators; empty parts are kept, so "a,,b" has three and "" has one.
std::vector<std::string_view> split(std::string_view text, char separator);

// The words between blanks and tabs.
std::vector<std::string_view> split_words(std::string_view text);

// Removes `prefix` from the front of `text` if it stands there.
bool consume_prefix(std::string_view* text, std::string_view prefix);

}  // namespace tapferry
