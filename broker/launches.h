// SPDX-License-Identifier: MIT
//
// Asking tapferryd, which has privilege, to start a helper for a client (helper/launcher.h has the messages); and the queue of those
// that wait for it.
#pragma once

#include <deque>
#include <functional>
#include <glib.h>
#include <map>
#include <memory>
#include <string>
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "net/ask.h"

namespace tapferry {

enum class LaunchKind { kOpen, kExplain, kRelease, kUp };

// What came of it: the message and its descriptors, the explanation, or nothing but that it is done. An error carries the helper's
// one line, unchanged.
struct LaunchResult {
  Answer answer;
  std::string text;
};
using LaunchDone = std::function<void(Result<LaunchResult>)>;

class Launches {
 public:
  // `channel` leads to tapferryd. `on_end` is called when that is gone.
  Launches(Fd channel, std::function<void()> on_end);
  ~Launches();
  Launches(const Launches&) = delete;
  Launches& operator=(const Launches&) = delete;

  // `client` is the connection of the one who asks, whose uid is `uid`; `done` is called once, later, unless it is forgotten first.
  // Returns what forget() takes.
  uint64_t add(LaunchKind kind, int client, uid_t uid, std::string text, LaunchDone done);

  // The client is gone: what waits isn't begun, what runs comes to its end and is thrown away.
  void forget(uint64_t id);

 private:
  struct Launch;
  using Queue = std::deque<std::unique_ptr<Launch>>;

  void start_some();
  Status start(Launch& launch);
  void finish(uint64_t id, int wait_status);
  void end(uint64_t id, Result<LaunchResult> result);
  // False when tapferryd is gone, or says what can't be understood.
  bool read_channel();
  bool take_message(const std::vector<std::string>& fields);
  Queue::iterator next_waiting();

  Fd channel_;
  std::function<void()> on_end_;
  guint channel_source_ = 0;
  uint64_t last_id_ = 0;
  Queue waiting_;
  std::map<uint64_t, std::unique_ptr<Launch>> running_;
};

}  // namespace tapferry
