// SPDX-License-Identifier: MIT
#include "broker/server.h"

#include <cerrno>
#include <sys/socket.h>

#include "base/syscall.h"
#include "broker/connection.h"
#include "broker/methods.h"

namespace tapferry {
namespace {

// Of a burst; then others have their turn.
constexpr int kAcceptAtOnce = 64;

// As whom the kernel saw him connect.
bool uid_of(int socket, uid_t* uid) {
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return false;
  *uid = credentials.uid;
  return true;
}

// Not waited for: he may have sent nothing, and is not served anyway.
void turn_away(int socket) {
  const Reply reply = broker_error("Busy", "connect to the broker: too many connections of this user are open");
  (void)!send(socket, reply.message.data(), reply.message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Server::Server(Fd listener, Launches* launches) : listener_(std::move(listener)), launches_(launches) {
  listening_.watch(listener_.get(), G_IO_IN, [this](GIOCondition) {
    accept_some();
    return true;
  });
}

Server::~Server() = default;

void Server::accept_some() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.is_open()) {
      // Out of descriptors or memory: those who wait in the backlog are served when there are some again.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) pause_listening();
      return;
    }
    uid_t uid = 0;
    if (!uid_of(socket.get(), &uid)) continue;
    if (!limits_.add_client(uid)) {
      turn_away(socket.get());
      continue;
    }
    auto connection = std::make_unique<Connection>(this, std::move(socket), uid);
    Connection* key = connection.get();
    connections_[key] = std::move(connection);
  }
}

void Server::pause_listening() {
  pause_.after(1, [this] {
    listening_.watch(listener_.get(), G_IO_IN, [this](GIOCondition) {
      accept_some();
      return true;
    });
  });
  listening_.stop();
}

void Server::disconnect(Connection* connection) {
  limits_.remove_client(connection->uid());
  connections_.erase(connection);
}

}  // namespace tapferry
