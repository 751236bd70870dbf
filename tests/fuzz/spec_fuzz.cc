// SPDX-License-Identifier: MIT
//
// A SPEC that parses prints as one that parses to the same; one that doesn't has an error of one
// line.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/spec.h"

using namespace tapferry;

namespace {

void require(bool condition) {
  if (!condition) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Spec> spec = parse_spec(text);
  if (!spec.is_ok()) {
    require(spec.error().line().find('\n') == std::string::npos);
    return 0;
  }
  const std::string printed = to_string(spec.value());
  require(printed.size() <= text.size());
  const Result<Spec> again = parse_spec(printed);
  require(again.is_ok() && again.value() == spec.value());
  return 0;
}
