// SPDX-License-Identifier: MIT
#include "broker/limits.h"

#include <algorithm>

namespace tapferry {
namespace {

// Users are few; only where ids are given out by the thousand this is ever reached.
constexpr size_t kManyUsers = 4096;

double refilled(double calls, int64_t elapsed_ms) {
  return std::min<double>(kMostCallsAtOnce, calls + static_cast<double>(elapsed_ms) * kCallsPerSecond / 1000);
}

}  // namespace

bool Limits::add_client(uid_t uid) {
  if (clients_ >= kMostClients || users_[uid].clients >= kMostClientsOfOne) return false;
  ++users_[uid].clients;
  ++clients_;
  return true;
}

void Limits::remove_client(uid_t uid) {
  --users_[uid].clients;
  --clients_;
}

bool Limits::take_call(uid_t uid, int64_t now_ms) {
  if (users_.size() > kManyUsers) drop_full(now_ms);
  Bucket& bucket = users_[uid];
  bucket.calls = refilled(bucket.calls, now_ms - bucket.filled_ms);
  bucket.filled_ms = now_ms;
  if (bucket.calls < 1) return false;
  bucket.calls -= 1;
  return true;
}

void Limits::drop_full(int64_t now_ms) {
  std::erase_if(users_, [&](const auto& user) {
    const Bucket& bucket = user.second;
    return bucket.clients == 0 && refilled(bucket.calls, now_ms - bucket.filled_ms) >= kMostCallsAtOnce;
  });
}

}  // namespace tapferry
