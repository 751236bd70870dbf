// SPDX-License-Identifier: MIT
//
// The main thread at work: front-ends one after the other, signals, the threads' troubles, the interface's link. It waits in one
// poll(2), and nothing that a front-end does or leaves undone keeps it from the rest.
#pragma once

#include <functional>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/link_status.h"
#include "vhost/listen.h"
#include "vhost/net_device.h"
#include "vhost/session.h"
#include "vhost/signals.h"

namespace tapferry {

struct ServerParts {
  FrontEndSocket* socket = nullptr;
  NetDevice* device = nullptr;
  const Signals* signals = nullptr;
  LinkStatus* link = nullptr;      // null: the interface can't be seen from here
  bool follows_link = false;       // no front-end while there is no link
  int trouble_fd = -1;             // eventfd that the threads write (WorkerOptions::event_fd)
  int supervisor_fd = -1;          // a pipe's write end: its reader's end is ours
  int stats_fd = -1;               // timerfd
  std::function<void()> on_stats;  // each time that it expires
  std::function<void()> on_dump;   // SIGUSR1
};

class Server {
 public:
  explicit Server(ServerParts parts) : parts_(std::move(parts)) {}

  // Until a signal, the supervisor's end, or the end of the one connection that was inherited. An error: what it can't do without
  // is gone, the interface or the socket; or that one connection ended with an error.
  Status run();

 private:
  Status wait();
  bool may_have_front_end() const { return !parts_.follows_link || parts_.link == nullptr || parts_.link->has_link(); }
  Status accept();
  void serve_session();
  void end_session(std::optional<Error> why);
  void see_trouble();
  Status see_link();

  ServerParts parts_;
  std::optional<Session> session_;
  bool is_over_ = false;
  std::optional<Error> last_error_;  // of the session that ended last
};

}  // namespace tapferry
