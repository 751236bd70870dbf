// SPDX-License-Identifier: MIT
//
// Those who have connected, each with his own pace: nobody waits for another. A client has one call at a time in work; what he
// sends meanwhile stays in his socket. Who is silent, stops within a message or doesn't take his reply is disconnected after a while.
#pragma once

#include <map>
#include <memory>

#include "base/fd.h"
#include "broker/glib_source.h"
#include "broker/launches.h"
#include "broker/limits.h"

namespace tapferry {

class Connection;

class Server {
 public:
  Server(Fd listener, Launches* launches);
  ~Server();

  Launches& launches() { return *launches_; }
  Limits& limits() { return limits_; }
  // Destroys it.
  void disconnect(Connection* connection);

 private:
  void accept_some();
  void pause_listening();

  Fd listener_;
  Launches* launches_;
  Limits limits_;
  GlibSource listening_;
  GlibSource pause_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;
};

}  // namespace tapferry
