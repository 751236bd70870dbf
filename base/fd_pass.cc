// SPDX-License-Identifier: MIT
#include "base/fd_pass.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string name_of(int fd) { return "descriptor " + std::to_string(fd); }

Result<int> int_option(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &length) != 0) {
    return Error::from_errno("look at the socket", name_of(fd), errno);
  }
  return value;
}

}  // namespace

Status check_passing_socket(int fd) {
  const int descriptor_flags = fcntl(fd, F_GETFD);
  if (descriptor_flags < 0) return Error::from_errno("use", name_of(fd), errno);
  if (descriptor_flags & FD_CLOEXEC) return Error::from_errno("use", name_of(fd), EBADF);
  struct stat status;
  if (fstat(fd, &status) != 0) return Error::from_errno("look at", name_of(fd), errno);
  if (!S_ISSOCK(status.st_mode)) return Error("use", name_of(fd), "not a socket");
  if (TRY(int_option(fd, SO_DOMAIN)) != AF_UNIX) return Error("use", name_of(fd), "not an AF_UNIX socket");
  const int type = TRY(int_option(fd, SO_TYPE));
  if (type != SOCK_STREAM && type != SOCK_SEQPACKET) {
    return Error("use", name_of(fd), "neither a stream nor a seqpacket socket");
  }
  sockaddr_un peer;
  socklen_t length = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
    return Error::from_errno("find the peer of", name_of(fd), errno);
  }
  return {};
}

Status send_with_fds(int socket, std::string_view bytes, std::span<const int> fds, int timeout_ms) {
  if (bytes.empty() || bytes.size() > kMaxPassedBytes || fds.size() > kMaxPassedFds) {
    return Error::from_errno("send", "descriptors", EINVAL);
  }
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))] = {};
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  for (;;) {
    const ssize_t n = retry_on_eintr([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (n == static_cast<ssize_t>(bytes.size())) return {};
    if (n >= 0) return Error("send", "descriptors", "the socket took part of the message only");
    if (errno != EAGAIN) return Error::from_errno("send", "descriptors", errno);
    const auto left = duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) return Error::from_errno("send", "descriptors", ETIMEDOUT);
    pollfd writable = {socket, POLLOUT, 0};
    if (retry_on_eintr([&] { return poll(&writable, 1, static_cast<int>(left)); }) < 0) {
      return Error::from_errno("wait for", "the receiver", errno);
    }
  }
}

Result<ReceivedMessage> receive_with_fds(int socket, size_t max_bytes) {
  ReceivedMessage received;
  received.bytes.resize(max_bytes);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))];
  iovec part = {received.bytes.data(), received.bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = retry_on_eintr([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) return Error::from_errno("receive from", name_of(socket), errno);
  received.bytes.resize(static_cast<size_t>(n));
  received.is_truncated = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      received.fds.push_back(Fd(fd));
    }
  }
  return received;
}

}  // namespace tapferry
