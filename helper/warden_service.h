// SPDX-License-Identifier: MIT
//
// The warden's own side (helper/warden.h): what it knows, and what it does about each thing that it hears.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/kept.h"
#include "helper/privileged_macvtap.h"
#include "helper/queue_watches.h"
#include "net/link.h"
#include "net/rtnl.h"
#include "net/rtnl_events.h"
#include "net/wire.h"

namespace tapferry {

// Of the warden: a maker; or, with uid 0, tapferryd, who only wants to see the warden end.
struct WardenConnection {
  Fd socket;
  bool is_observer = false;
  std::optional<Intent> intent;
  std::set<int> queues;  // watches not yet part of a kept interface
  std::string node;      // that it opens queues by
  int kept_index = 0;
};

class Warden {
 public:
  using Fields = std::vector<std::string>;
  using Connection = WardenConnection;

  static Result<Warden> begin(Fd listener);
  void add_connection(Fd socket) { connections_.emplace_back().socket = std::move(socket); }
  void serve();

 private:
  Warden(Fd listener, QueueWatches watches, RtnlEvents events, Rtnl rtnl, Fd syslog)
      : listener_(std::move(listener)),
        watches_(std::move(watches)),
        events_(std::move(events)),
        rtnl_(std::move(rtnl)),
        syslog_(std::move(syslog)) {}

  void accept_one();
  bool has_makers() const;
  // False when the connection has ended.
  bool serve_connection(Connection& connection);
  void end_connection(Connection& connection);
  Status answer(Connection& connection, const WireMessage& message);
  Status greet(Connection& connection, const Fields& request);
  Status intend(Connection& connection, const Fields& request);
  Status watch_queue(Connection& connection);
  Status keep(Connection& connection, const Fields& request);
  Status note_node(Connection& connection);
  Status let_stay(Connection& connection);
  Status undo(Connection& connection);

  bool is_known(const Link& link) const;
  Status adopt(const WireMessage& message);
  void adopt_watchable();
  void take_up(const Link& link, Kept kept);

  void end_queue(int watch);
  void read_events();
  // It is gone.
  void forget(int index);
  void look_at(const Link& link);
  void look_at_all();
  Status follow_addresses(int index);
  void follow_addresses_of(int upper);
  // Now, or as soon as it can be done.
  void remove(int index, const std::string& why);
  void remove_overdue();

  Fd listener_;
  QueueWatches watches_;
  RtnlEvents events_;
  Rtnl rtnl_;
  Fd syslog_;
  std::vector<Connection> connections_;
  KeptTable kept_;
  std::map<int, std::string> overdue_;  // what couldn't be removed, by index, and why it has to be
};

}  // namespace tapferry
