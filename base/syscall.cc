// SPDX-License-Identifier: MIT
#include "base/syscall.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tapferry {

Result<Fd> open_file(const std::string& path, int flags) { return open_file_at(AT_FDCWD, path, flags, path); }

Result<Fd> open_file_at(int dir_fd, const std::string& name, int flags, const std::string& path_for_errors) {
  const int fd = retry_on_eintr([&] { return openat(dir_fd, name.c_str(), flags | O_CLOEXEC | O_NOCTTY); });
  if (fd < 0) return Error::from_errno("open", path_for_errors, errno);
  return Fd(fd);
}

Result<std::pair<Fd, Fd>> socket_pair(int type) {
  int fds[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return Error::from_errno("make", "a socket pair", errno);
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Result<std::string> read_all(int fd, size_t limit, const std::string& path_for_errors) {
  std::string bytes;
  char buffer[4096];
  for (;;) {
    const ssize_t n = retry_on_eintr([&] { return read(fd, buffer, sizeof buffer); });
    if (n < 0) return Error::from_errno("read", path_for_errors, errno);
    if (n == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
    if (bytes.size() > limit) return Error("read", path_for_errors, "longer than " + std::to_string(limit) + " bytes");
  }
}

Status write_all(int fd, std::string_view bytes, const std::string& object_for_errors) {
  while (!bytes.empty()) {
    const ssize_t n = retry_on_eintr([&] { return write(fd, bytes.data(), bytes.size()); });
    if (n < 0) return Error::from_errno("write", object_for_errors, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status set_nonblocking(int fd, bool on) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Error::from_errno("read the flags of", "descriptor " + std::to_string(fd), errno);
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && fcntl(fd, F_SETFL, wanted) != 0) {
    return Error::from_errno("set the flags of", "descriptor " + std::to_string(fd), errno);
  }
  return {};
}

}  // namespace tapferry
