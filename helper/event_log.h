// SPDX-License-Identifier: MIT
//
// What tapferryd writes down for each request: to the journal with fields of its own where there is one, else to syslog as a line.
// It is beside the audit line of the helper that it started (helper/audit.h), and says which program the request came from.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/fd.h"

namespace tapferry {

struct Event {
  uid_t uid = 0;
  pid_t client = 0;     // the program that connected
  pid_t helper = 0;     // 0: none was started
  std::string verb;     // "open", "explain"
  std::string request;  // as it was asked
  std::string outcome;  // "done", "failed", or why no helper was started
};

class EventLog {
 public:
  // Where nobody listens nothing is written, then or later.
  static EventLog connect();

  // Not waited for: a full log keeps nobody from being served. What must be written down is in the helper's audit line.
  void write(const Event& event) const;

 private:
  EventLog(Fd socket, bool is_journal) : socket_(std::move(socket)), is_journal_(is_journal) {}
  Fd socket_;
  bool is_journal_;
};

}  // namespace tapferry
