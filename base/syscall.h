// SPDX-License-Identifier: MIT
//
// System calls whose failure is an Error and whose descriptors are owned and close-on-exec from birth.
#pragma once

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Repeats a call that a signal interrupted; errno is left as the call set it. Not for close(2).
template <typename Call>
auto retry_on_eintr(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

// open(2) with O_CLOEXEC | O_NOCTTY added. The error's object is the path.
Result<Fd> open_file(const std::string& path, int flags);
// The same below the directory `dir_fd`; `path_for_errors` is what the error names.
Result<Fd> open_file_at(int dir_fd, const std::string& name, int flags, const std::string& path_for_errors);

// A connected pair of AF_UNIX sockets, close-on-exec. `type` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
Result<std::pair<Fd, Fd>> socket_pair(int type);

// All of a file, which must not hold more than `limit` bytes. `path_for_errors` is what the error names.
Result<std::string> read_all(int fd, size_t limit, const std::string& path_for_errors);

// Writes everything or fails.
Status write_all(int fd, std::string_view bytes, const std::string& object_for_errors);

// O_NONBLOCK of the open file description on or off.
Status set_nonblocking(int fd, bool on);

}  // namespace tapferry
