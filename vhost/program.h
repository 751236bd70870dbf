// SPDX-License-Identifier: MIT
#pragma once

namespace tapferry {

// What lines on stderr begin with.
inline constexpr const char* kVhostProgram = "tapferry-vhost";

}  // namespace tapferry
