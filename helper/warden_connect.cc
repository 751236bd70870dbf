// SPDX-License-Identifier: MIT
//
// Finding the warden or becoming its parent.
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/syscall.h"
#include "helper/warden.h"
#include "net/warden_names.h"
#include "net/wire.h"

namespace tapferry {
namespace {

// Each round another maker was quicker, or the last warden has just ended.
constexpr int kAttempts = 20;
constexpr int kBacklog = 128;
constexpr int kAnswerTimeoutMs = 5000;
// Before the next attempt when the backlog is full: of the warden, which is quick, or of somebody who only took its name.
constexpr int kBusyPauseMs = 50;

struct Address {
  sockaddr_un un = {};
  socklen_t length = 0;
};

Address warden_address() {
  Address address;
  address.un.sun_family = AF_UNIX;
  memcpy(address.un.sun_path, kWardenName.data(), kWardenName.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kWardenName.size());
  return address;
}

// Non-blocking, since connect(2) waits for room in a backlog as long as it takes.
Result<Fd> make_socket() {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return Error::from_errno("make", "a socket", errno);
  return socket;
}

// The uid of whoever listens there, not of who inherited the socket.
bool is_own_kind(const Fd& connection) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  return getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid();
}

Status greet(const Fd& connection, const std::string& node) {
  TRY(ask(connection.get(), {"hello", node}, kAnswerTimeoutMs));
  return {};
}

Result<Fd> start_warden(Fd listener, const std::string& node) {
  auto [own, other] = TRY(socket_pair(SOCK_SEQPACKET));
  const pid_t child = fork();
  if (child < 0) return Error::from_errno("start", "the warden", errno);
  if (child == 0) {
    own.reset();
    run_warden(std::move(other), std::move(listener));
  }
  other.reset();
  listener.reset();
  TRY(greet(own, node));
  return std::move(own);
}

}  // namespace

Result<Fd> connect_to_warden(const std::string& node) {
  const Address address = warden_address();
  const auto* name = reinterpret_cast<const sockaddr*>(&address.un);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Fd connection = TRY(make_socket());
    if (connect(connection.get(), name, address.length) == 0) {
      if (!is_own_kind(connection)) return start_warden(Fd(), node);
      const Status greeted = greet(connection, node);
      if (greeted.is_ok()) return connection;
      // It was stopped, and answers nobody.
      if (greeted.error().code() == ETIMEDOUT) return start_warden(Fd(), node);
      continue;  // it was just ending
    }
    if (errno == EAGAIN) {
      poll(nullptr, 0, kBusyPauseMs);
      continue;
    }
    if (errno != ECONNREFUSED) return Error::from_errno("connect to", "the warden", errno);
    Fd listener = TRY(make_socket());
    if (bind(listener.get(), name, address.length) == 0 && listen(listener.get(), kBacklog) == 0) {
      return start_warden(std::move(listener), node);
    }
    if (errno != EADDRINUSE) return Error::from_errno("listen as", "the warden", errno);
  }
  return start_warden(Fd(), node);
}

}  // namespace tapferry
