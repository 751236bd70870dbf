// SPDX-License-Identifier: MIT
//
// The grant record as a receiver reads it: what is accepted reads back the same when it is written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/grant.h"
#include "net/grant_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tapferry;
  const auto grant = read_grant({reinterpret_cast<const char*>(data), size});
  if (!grant.is_ok()) {
    if (grant.error().line().find('\n') != std::string::npos) abort();
    return 0;
  }
  // Written again it can only be longer by a rule whose bytes need escapes.
  const std::string line = to_json_line(grant.value());
  const auto again = read_grant(line);
  if (!again.is_ok() ? line.size() <= 2048 : again.value() != grant.value()) abort();
  return 0;
}
