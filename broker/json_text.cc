// SPDX-License-Identifier: MIT
#include "broker/json_text.h"

#include <cstring>
#include <glib.h>

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "a message", reason); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return g_ascii_isxdigit(c) != FALSE; }

// The length of the string token at the front of `text`, 0 if it isn't one.
size_t string_length(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') return i + 1;
    if (static_cast<unsigned char>(c) < 0x20) return 0;
    if (c != '\\') continue;
    if (++i >= text.size() || strchr("\"\\/bfnrtu", text[i]) == nullptr || text[i] == '\0') return 0;
    if (text[i] != 'u') continue;
    const std::string_view digits = text.substr(i + 1, 4);
    if (digits.size() < 4 || digits == "0000") return 0;
    for (const char digit : digits) {
      if (!is_hex(digit)) return 0;
    }
    i += 4;
  }
  return 0;
}

size_t digits_length(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  return n;
}

// Whole numbers of at most 18 digits, which every reader holds.
size_t number_length(std::string_view text) {
  const size_t sign = text[0] == '-' ? 1 : 0;
  const size_t digits = digits_length(text.substr(sign));
  if (digits == 0 || digits > 18 || (text[sign] == '0' && digits > 1)) return 0;
  return sign + digits;
}

// The length of the token that isn't a bracket, 0 if there is none.
size_t token_length(std::string_view text) {
  if (text[0] != '\0' && strchr(" \t\r\n:,", text[0]) != nullptr) return 1;
  if (text[0] == '"') return string_length(text);
  for (const std::string_view word : {"true", "false", "null"}) {
    if (text.starts_with(word)) return word.size();
  }
  return number_length(text);
}

}  // namespace

Status check_json_text(std::string_view text) {
  if (!g_utf8_validate_len(text.data(), text.size(), nullptr)) return flaw("not UTF-8");
  if (!text.starts_with('{')) return flaw("not a JSON object");
  size_t depth = 0;
  while (!text.empty()) {
    const char c = text[0];
    size_t length = 1;
    if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) return flaw("nested too deep");
    } else if (c == '}' || c == ']') {
      if (--depth == 0 && text.size() > 1) return flaw("something is behind the object");
    } else {
      length = token_length(text);
      if (length == 0) return flaw("not JSON, or a number that isn't whole");
    }
    text.remove_prefix(length);
  }
  if (depth != 0) return flaw("it ends within the object");
  return {};
}

}  // namespace tapferry
