// SPDX-License-Identifier: MIT
//
// When tapferryd has something adopted (helper/adopt.h): when it begins, and when the warden that it knows was killed.
#pragma once

#include <chrono>
#include <poll.h>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class Adoption {
 public:
  // Begins with the first one.
  Adoption();

  // Looks for a warden to know, when one may have been started. Takes microseconds.
  void look_for_warden();

  // What to wait for besides, and for how long at most (-1: for ever).
  void add_polled(std::vector<pollfd>* polled) const;
  int ms_to_next() const;
  // To be called whenever something of that has come.
  void look();

 private:
  using Clock = std::chrono::steady_clock;

  void start();
  void end_of_process();
  void read_warden();

  Fd warden_;  // a connection that ends with it; not open: none is known
  pid_t child_ = 0;
  Fd process_;             // of the child (pidfd)
  Clock::time_point due_;  // of the next one, if it is to be
  bool is_due_ = true;
  std::chrono::seconds delay_;  // before the one after that
};

// What `tapferryd --adopt` exits with when something has to be looked at again later.
inline constexpr int kAdoptLaterStatus = 3;

}  // namespace tapferry
