// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <cstdio>

namespace tapferry {
namespace {

// Length of the well-formed UTF-8 sequence at the front of `text` (Unicode 15, table 3-7), 0 if there is none.
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto is_tail = [&](size_t i) { return byte(i) >= 0x80 && byte(i) <= 0xbf; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return is_tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return byte(1) >= low && byte(1) <= high && is_tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return byte(1) >= low && byte(1) <= high && is_tail(2) && is_tail(3) ? 4 : 0;
  }
  return 0;
}

bool is_c1_control(std::string_view sequence) {
  return sequence.size() == 2 && sequence[0] == '\xc2' && static_cast<unsigned char>(sequence[1]) < 0xa0;
}

constexpr std::string_view kCut = "...";

// Of escaped text the first `room` bytes at most, without a part of an escape or of a letter at their end.
std::string_view cut_escaped(std::string_view text, size_t room) {
  size_t end = 0;
  for (size_t next = 0; next <= room;) {
    end = next;
    next += text[next] != '\\' ? utf8_length(text.substr(next)) : text[next + 1] == 'u' ? 6 : 2;
  }
  return text.substr(0, end);
}

std::string hex(const char* format, unsigned char byte) {
  char digits[8];
  snprintf(digits, sizeof digits, format, byte);
  return digits;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t length = utf8_length(text.substr(i));
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c < 0x20 || c == 0x7f || length == 0 || is_c1_control(text.substr(i, length))) {
      out += hex("\\x%02x", c);
      i += 1;
      continue;
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string json_escape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      out += "\xef\xbf\xbd";
      i += 1;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      out += hex("\\u%04x", c);
    } else if (is_c1_control(text.substr(i, length))) {
      out += hex("\\u%04x", static_cast<unsigned char>(text[i + 1]));
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string json_field(std::string_view key, std::string_view value) {
  return std::string(key) + "=\"" + json_escape(value) + "\"";
}

std::string json_field(std::string_view key, std::string_view value, size_t max_bytes) {
  std::string text = json_escape(value);
  if (text.size() > max_bytes) text = std::string(cut_escaped(text, max_bytes - kCut.size())) + std::string(kCut);
  return std::string(key) + "=\"" + text + "\"";
}

std::string json_pair(std::string_view key, std::string_view value) {
  return "\"" + json_escape(key) + "\":\"" + json_escape(value) + "\"";
}

}  // namespace tapferry
