// SPDX-License-Identifier: MIT
//
// The heart of tapferryd: starts a tapferry-helper for somebody who is at the other end of a socket.
//
// Theory of operation. What clients send is parsed by another process, tapferry-broker, that has no privilege (broker/). For each
// call it passes the client's own socket on to here. The launcher looks that it is one that the listening socket accepted, asks the kernel who that is, takes on his ids just as far as
// the kernel does for him when he executes a setuid root program (real uid, gid and groups his, effective uid 0), and
// executes tapferry-helper. So what decides and acts is the helper itself, from stage 0 on, in the state that
// docs/PRIVILEGE.md argues about, in an address space of its own; and whatever tapferry-broker makes up, it can ask only as somebody
// who is connected.
//
// Messages (net/wire.h) from tapferry-broker, and what is answered:
//
//   run ID VERB TEXT, with the descriptors CLIENT RESULT WORDS
//       VERB is a row of kVerbs; TEXT the SPEC. RESULT is where the helper's result goes, WORDS its stderr.
//   ended ID STATUS      the helper's wait status (waitpid(2))
//   refused ID REASON    no helper was started
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/adoption.h"
#include "helper/event_log.h"
#include "helper/peer.h"
#include "net/wire.h"

namespace tapferry {

class Launcher {
 public:
  // `channel` leads to tapferry-broker; `listener` is what clients connect to; `helper` is the path of tapferry-helper.
  Launcher(Fd channel, const SocketFile& listener, std::string helper, EventLog log)
      : channel_(std::move(channel)), listener_(listener), helper_(std::move(helper)), log_(std::move(log)) {}

  // Until tapferry-broker is gone, which is an error, or a signal can be read from `signals` (signalfd(2)).
  Status serve(int signals);

 private:
  struct Run {
    std::string id;
    Event event;
    Fd process;  // pidfd of the helper
    std::chrono::steady_clock::time_point deadline;
    bool is_killed = false;
  };

  Status take_request();
  Result<Run> start(WireMessage message);
  void look_at_runs();
  int ms_to_next_deadline() const;

  Fd channel_;
  SocketFile listener_;
  std::string helper_;
  EventLog log_;
  Adoption adoption_;
  std::vector<Run> runs_;
};

}  // namespace tapferry
