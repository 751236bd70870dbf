// SPDX-License-Identifier: MIT
#include "broker/limits.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;

TEST(Limits, BoundTheConnectionsOfOneUserAndOfAll) {
  Limits limits;
  for (unsigned i = 0; i < kMostClientsOfOne; ++i) EXPECT_TRUE(limits.add_client(kAlice));
  EXPECT_FALSE(limits.add_client(kAlice));
  EXPECT_TRUE(limits.add_client(kBob));
  limits.remove_client(kAlice);
  EXPECT_TRUE(limits.add_client(kAlice));
  unsigned all = kMostClientsOfOne + 1;
  for (uid_t uid = 2000; uid < 4000 && limits.add_client(uid); ++uid) ++all;
  EXPECT_EQ(all, kMostClients);
}

TEST(Limits, LetAUserCallAgainAfterAWhile) {
  Limits limits;
  for (unsigned i = 0; i < kMostCallsAtOnce; ++i) EXPECT_TRUE(limits.take_call(kAlice, 1000));
  EXPECT_FALSE(limits.take_call(kAlice, 1000));
  EXPECT_TRUE(limits.take_call(kBob, 1000));
  EXPECT_TRUE(limits.take_call(kAlice, 1000 + 1000 / kCallsPerSecond));
  EXPECT_FALSE(limits.take_call(kAlice, 1000 + 1000 / kCallsPerSecond));
}

TEST(Limits, RememberAUserWhoComesBackAndForgetThoseWhoDont) {
  Limits limits;
  while (limits.take_call(kAlice, 0)) {
  }
  for (uid_t uid = 2000; uid < 12000; ++uid) EXPECT_TRUE(limits.take_call(uid, 1));
  EXPECT_FALSE(limits.take_call(kAlice, 2));
  EXPECT_TRUE(limits.take_call(kAlice, 60000));
}

}  // namespace
}  // namespace tapferry
