// SPDX-License-Identifier: MIT
//
// Receiving from whoever connects: the other side of a helper that somebody else starts.
#pragma once

#include <string>

#include "base/result.h"
#include "net/ask.h"

namespace tapferry {

// Binds an AF_UNIX stream socket at `path` with mode 0600, waits for one connection and receives its one message, and
// what may follow until the peer closes or a second has passed. The path must not exist, and is removed when the
// connection is there. SIGINT and SIGTERM end the wait with an error whose code is EINTR.
Result<Answer> receive_at(const std::string& path);

}  // namespace tapferry
