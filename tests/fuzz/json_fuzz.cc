// SPDX-License-Identifier: MIT
//
// JSON from a broker: what is accepted lies in the text that was read, whole, and each part of it reads the same by itself.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text.h"
#include "net/json_value.h"

namespace {

using tapferry::JsonValue;

constexpr int kDepth = 8;

void require(bool condition) {
  if (!condition) abort();
}

void check(const JsonValue& value, std::string_view text) {
  require(value.source.data() >= text.data());
  require(value.source.data() + value.source.size() <= text.data() + text.size());
  require(tapferry::is_utf8(value.text) && value.text.find('\0') == std::string::npos);
  require(!value.is_object() || value.names.size() == value.items.size());
  const auto again = tapferry::parse_json(value.source, kDepth);
  require(again.is_ok() && again.value().type == value.type && again.value().items.size() == value.items.size());
  for (const JsonValue& item : value.items) check(item, value.source);
  for (size_t i = 0; i < value.names.size(); ++i) require(value.member(value.names[i]) == &value.items[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Longer than any reply.
  if (size > 20000) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = tapferry::parse_json(text, kDepth);
  if (!value.is_ok()) {
    require(value.error().line().find('\n') == std::string::npos);
    return 0;
  }
  check(value.value(), text);
  return 0;
}
