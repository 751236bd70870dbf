// SPDX-License-Identifier: MIT
//
// The grant record (net/grant.h) as its receiver reads it.
#pragma once

#include <string_view>

#include "base/result.h"
#include "net/grant.h"

namespace tapferry {

// `bytes` is the whole message: one flat JSON object (RFC 8259) and one newline, with exactly the keys of version 1, in
// any order, each once and of its type. A record with other keys has another version.
Result<Grant> read_grant(std::string_view bytes);

}  // namespace tapferry
