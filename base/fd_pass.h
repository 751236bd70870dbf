// SPDX-License-Identifier: MIT
//
// Descriptors across an AF_UNIX socket: SCM_RIGHTS (unix(7)), both directions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// The kernel's own limit on descriptors in one message: SCM_MAX_FD in include/net/scm.h.
inline constexpr size_t kMaxPassedFds = 253;

// A stream socket splits what is larger than half its send buffer (net/unix/af_unix.c), and the smallest buffer that a
// peer can set is 4608 bytes (SOCK_MIN_SNDBUF).
inline constexpr size_t kMaxPassedBytes = 2048;

// That `fd` is a connected AF_UNIX stream or seqpacket socket which this process inherited. Its own descriptors are
// close-on-exec from birth and an inherited one can't be, so a caller can't name one of ours by guessing its number.
Status check_passing_socket(int fd);

// Sends `bytes` (1..kMaxPassedBytes) and `fds` in one message: all of it, or an error and nothing. Waits for a full
// buffer to drain, `timeout_ms` at most, whatever the socket's own mode is.
Status send_with_fds(int socket, std::string_view bytes, std::span<const int> fds, int timeout_ms);

struct ReceivedMessage {
  std::string bytes;          // empty: the peer closed
  std::vector<Fd> fds;        // close-on-exec
  bool is_truncated = false;  // bytes or descriptors didn't fit and are lost
};

// One recvmsg of at most `max_bytes`, with room for kMaxPassedFds descriptors. The error's code is EAGAIN on an empty
// non-blocking socket.
Result<ReceivedMessage> receive_with_fds(int socket, size_t max_bytes);

}  // namespace tapferry
