// SPDX-License-Identifier: MIT
#include "vhost/listen.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

// Front-ends that wait while one is served.
constexpr int kBacklog = 8;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // A longer path would be cut to another one, an empty one names an abstract address of the kernel's choice.
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error("listen at", path,
                 "a socket's path has 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

Result<Fd> stream_socket() {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return Error::from_errno("make", "a socket", errno);
  return fd;
}

// Removes a socket at which nobody listens.
Status make_room(const std::string& path, const sockaddr_un& address) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return Error::from_errno("look at", path, errno);
  }
  if (!S_ISSOCK(status.st_mode)) return Error("listen at", path, "there is something that isn't a socket");
  const Fd probe = TRY(stream_socket());
  if (connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN) {
    return Error("listen at", path, "another program listens there");
  }
  if (errno != ECONNREFUSED) return Error::from_errno("connect to", path, errno);
  if (unlink(path.c_str()) != 0) return Error::from_errno("remove", path, errno);
  return {};
}

Result<int> int_option(int fd, int option, const std::string& name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &length) != 0) {
    return Error::from_errno("use", name, errno);
  }
  return value;
}

}  // namespace

Result<FrontEndSocket> FrontEndSocket::listen_at(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  TRY(make_room(path, address));
  FrontEndSocket socket(TRY(stream_socket()), true, path);
  // The socket is there before chmod(2) could say whose it is.
  const mode_t before = umask(0177);
  const int bound = bind(socket.fd(), generic(address), sizeof address);
  const int code = errno;
  umask(before);
  if (bound != 0) return Error::from_errno("listen at", path, code);
  socket.path_ = path;
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return Error::from_errno("look at", path, errno);
  socket.device_ = status.st_dev;
  socket.inode_ = status.st_ino;
  if (listen(socket.fd(), kBacklog) != 0) return Error::from_errno("listen at", path, errno);
  return socket;
}

Result<FrontEndSocket> FrontEndSocket::from_fd(int fd) {
  const std::string name = "descriptor " + std::to_string(fd);
  const int flags = fcntl(fd, F_GETFD);
  if (flags < 0) return Error::from_errno("use", name, errno);
  // One of our own, by a number that was guessed.
  if ((flags & FD_CLOEXEC) != 0) return Error::from_errno("use", name, EBADF);
  if (TRY(int_option(fd, SO_DOMAIN, name)) != AF_UNIX) return Error("use", name, "not an AF_UNIX socket");
  if (TRY(int_option(fd, SO_TYPE, name)) != SOCK_STREAM) return Error("use", name, "not a stream socket");
  const bool is_listening = TRY(int_option(fd, SO_ACCEPTCONN, name))
  != 0;
  sockaddr_un peer;
  socklen_t length = sizeof peer;
  if (!is_listening && getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
    return Error("use", name, "a socket that neither listens nor is connected");
  }
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return Error::from_errno("use", name, errno);
  TRY(set_nonblocking(fd, true));
  return FrontEndSocket(Fd(fd), is_listening, name);
}

// The path goes along: only one of the two removes it.
FrontEndSocket::FrontEndSocket(FrontEndSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      is_listening_(other.is_listening_),
      name_(std::move(other.name_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

FrontEndSocket::~FrontEndSocket() {
  struct stat status;
  if (path_.empty() || lstat(path_.c_str(), &status) != 0) return;
  // Somebody else may listen there by now.
  if (status.st_dev == device_ && status.st_ino == inode_) unlink(path_.c_str());
}

Result<Fd> FrontEndSocket::accept() const {
  Fd fd(retry_on_eintr([&] { return accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
  if (fd.is_open() || errno == EAGAIN || errno == ECONNABORTED) return fd;
  return Error::from_errno("accept from", name_, errno);
}

std::string FrontEndSocket::folder() const {
  if (path_.empty()) return "";
  const size_t slash = path_.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path_.substr(0, slash);
}

}  // namespace tapferry
