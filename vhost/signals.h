// SPDX-License-Identifier: MIT
//
// SIGTERM, SIGINT and SIGUSR1 as a descriptor to poll. Made before the first thread, since threads inherit which signals are
// blocked.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class Signals {
 public:
  // Also ignores SIGPIPE: a reader of stdout or a front-end that goes away is an error of that write.
  static Result<Signals> open();

  int fd() const { return fd_.get(); }

  struct Seen {
    bool has_stop = false;  // SIGTERM, SIGINT
    bool has_dump = false;  // SIGUSR1
  };
  // All that have come; never waits.
  Seen read() const;

 private:
  explicit Signals(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
};

}  // namespace tapferry
