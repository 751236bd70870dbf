// SPDX-License-Identifier: MIT
#include "helper/service.h"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/parse.h"

namespace tapferry {
namespace {

// SD_LISTEN_FDS_START
constexpr int kFirstInherited = 3;
constexpr int kBacklog = 1024;

Error listen_error(const std::string& path, int code) { return Error::from_errno("listen at", path, code); }

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return listen_error(path, ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool has_option(int fd, int option, int wanted) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

// Whether the socket file at `address` is one that nobody listens at.
Result<bool> is_abandoned(const sockaddr_un& address) {
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.is_open()) return listen_error(address.sun_path, errno);
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN) {
    return Error("listen at", address.sun_path, "another tapferryd does already");
  }
  return errno == ECONNREFUSED;
}

}  // namespace

Result<ServiceManager> read_service_manager() {
  ServiceManager manager;
  if (const char* path = getenv("NOTIFY_SOCKET")) manager.notify_socket = path;
  const char* pid = getenv("LISTEN_PID");
  const char* count = getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || pid != std::to_string(getpid())) return manager;
  if (std::string_view(count) != "1") {
    return Error("listen at", "the service manager's socket", "it gave " + std::string(count) + " of them, not one");
  }
  manager.has_socket = true;
  return manager;
}

void notify(const ServiceManager& manager, std::string_view state) {
  const std::string& path = manager.notify_socket;
  sockaddr_un address = {};
  if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  // As systemd writes an abstract address.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  (void)!sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                reinterpret_cast<const sockaddr*>(&address), length);
}

Result<Fd> inherited_listener() {
  Fd listener(kFirstInherited);
  if (!has_option(listener.get(), SO_DOMAIN, AF_UNIX) || !has_option(listener.get(), SO_TYPE, SOCK_STREAM) ||
      !has_option(listener.get(), SO_ACCEPTCONN, 1)) {
    return Error("listen at", "the service manager's socket", "not a listening AF_UNIX stream socket");
  }
  if (fcntl(listener.get(), F_SETFD, FD_CLOEXEC) != 0 || fcntl(listener.get(), F_SETFL, O_NONBLOCK) != 0) {
    return listen_error("the service manager's socket", errno);
  }
  return listener;
}

Result<Fd> make_listener(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  const std::string folder = path.substr(0, path.rfind('/'));
  if (!folder.empty() && mkdir(folder.c_str(), 0755) == 0 && chmod(folder.c_str(), 0755) != 0) {
    return listen_error(path, errno);
  }
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.is_open()) return listen_error(path, errno);
  const auto bind_once = [&] {
    return bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  };
  int code = bind_once();
  if (code == EADDRINUSE && TRY(is_abandoned(address)) && unlink(path.c_str()) == 0) code = bind_once();
  if (code != 0) return listen_error(path, code);
  if (chmod(path.c_str(), 0666) != 0 || listen(listener.get(), kBacklog) != 0) return listen_error(path, errno);
  return listener;
}

}  // namespace tapferry
