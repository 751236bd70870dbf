// SPDX-License-Identifier: MIT
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <type_traits>

namespace tapferry {
namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int fresh() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

static_assert(!std::is_copy_constructible_v<Fd>);
static_assert(!std::is_convertible_v<Fd, bool>);
static_assert(!std::is_convertible_v<int, Fd>);

TEST(Fd, ClosesWhatItOwnsAtItsEnd) {
  const int number = fresh();
  {
    const Fd fd(number);
    EXPECT_TRUE(fd.is_open());
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, EmptyOneIsNotOpen) {
  const Fd fd;
  EXPECT_FALSE(fd.is_open());
  EXPECT_EQ(fd.get(), -1);
}

TEST(Fd, NumberZeroIsADescriptor) {
  Fd fd(0);
  EXPECT_TRUE(fd.is_open());
  EXPECT_EQ(fd.release(), 0);
}

TEST(Fd, MovesAndLeavesNothingBehind) {
  Fd first(fresh());
  const int number = first.get();
  Fd second(std::move(first));
  EXPECT_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): what is left is the subject
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, AssignmentClosesWhatWasHeld) {
  Fd first(fresh());
  Fd second(fresh());
  const int closed = first.get();
  first = std::move(second);
  EXPECT_FALSE(is_open(closed));
  EXPECT_TRUE(is_open(first.get()));
}

TEST(Fd, AssignmentToItselfKeepsIt) {
  Fd fd(fresh());
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(Fd, ReleaseGivesItAwayOpen) {
  Fd fd(fresh());
  const Fd other(fd.release());
  EXPECT_FALSE(fd.is_open());
  EXPECT_TRUE(is_open(other.get()));
}

TEST(Fd, ResetReplaces) {
  Fd fd(fresh());
  const int first = fd.get();
  const int second = fresh();
  fd.reset(second);
  EXPECT_FALSE(is_open(first));
  EXPECT_EQ(fd.get(), second);
  fd.reset();
  EXPECT_FALSE(is_open(second));
}

}  // namespace
}  // namespace tapferry
