// SPDX-License-Identifier: MIT
//
// JSON from a broker or a client: what is accepted can be written again, and reads the same then.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "net/json_object.h"

namespace {

constexpr int kDepth = 8;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Longer than any reply.
  if (size > 20000) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto object = tapferry::parse_json_object(text, kDepth);
  if (!object.is_ok()) return 0;
  const std::string line = tapferry::to_text(object.value());
  if (line.find('\n') != std::string::npos) abort();
  const auto again = tapferry::parse_json_object(line, kDepth);
  if (!again.is_ok() || again.value() != object.value()) abort();
  return 0;
}
