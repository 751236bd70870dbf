// SPDX-License-Identifier: MIT
//
// How much of the broker one user may take: connections at once, and calls over time. No I/O here; the clock is the caller's.
#pragma once

#include <cstdint>
#include <map>
#include <sys/types.h>

namespace tapferry {

// Descriptors: one for a connection, and four for each of the helpers that run.
inline constexpr unsigned kMostClients = 1024;
inline constexpr unsigned kMostClientsOfOne = 256;
// Calls that a user may make without a pause, and how many more each second gives him.
inline constexpr unsigned kMostCallsAtOnce = 400;
inline constexpr unsigned kCallsPerSecond = 100;

class Limits {
 public:
  // Whether there is room for one more connection of `uid`; if so it counts.
  bool add_client(uid_t uid);
  void remove_client(uid_t uid);

  // Whether `uid` may make a call now; if so it counts. `now_ms` never goes back.
  bool take_call(uid_t uid, int64_t now_ms);

 private:
  struct Bucket {
    unsigned clients = 0;
    double calls = kMostCallsAtOnce;
    int64_t filled_ms = 0;
  };
  // Those whom nothing is remembered of.
  void drop_full(int64_t now_ms);

  std::map<uid_t, Bucket> users_;
  unsigned clients_ = 0;
};

}  // namespace tapferry
