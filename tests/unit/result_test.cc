// SPDX-License-Identifier: MIT
#include "base/result.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <memory>

namespace tapferry {
namespace {

TEST(Error, LineHasActionObjectReasonAndHint) {
  EXPECT_EQ(Error("open", "/x", "it is closed").line(), "open /x: it is closed");
  EXPECT_EQ(Error("open", "/x", "it is closed").with_hint("use the key").line(), "open /x: it is closed; use the key");
  EXPECT_EQ(Error("start", "", "no reason").line(), "start: no reason");
}

TEST(Error, ErrnoGivesItsWordsAndStays) {
  const Error error = Error::from_errno("open", "/x", ENOENT);
  EXPECT_EQ(error.line(), "open /x: No such file or directory");
  EXPECT_EQ(error.code(), ENOENT);
  EXPECT_EQ(Error("open", "/x", "why").code(), 0);
}

TEST(Error, DetailFollowsTheReason) {
  EXPECT_EQ(Error::from_errno("open", "/x", EPERM).with_detail("says the kernel").line(),
            "open /x: Operation not permitted (says the kernel)");
}

TEST(Error, LineIsOneLineWhateverIsInIt) {
  const std::string line = Error("open\n", "a\nb\x1b[2J", "c\td").with_hint("e\rf").line();
  EXPECT_EQ(line, "open\\n a\\nb\\x1b[2J: c\\td; e\\x0df");
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = 5;
  ASSERT_TRUE(good.is_ok());
  EXPECT_EQ(good.value(), 5);
  const Result<int> bad = Error("a", "b", "c");
  ASSERT_FALSE(bad.is_ok());
  EXPECT_EQ(bad.error().object(), "b");
}

TEST(Result, StatusIsOkByDefault) {
  EXPECT_TRUE(Status().is_ok());
  EXPECT_FALSE(Status(Error("a", "b", "c")).is_ok());
}

Result<std::unique_ptr<int>> boxed(bool good) {
  if (!good) return Error("box", "it", "no box");
  return std::make_unique<int>(3);
}

Result<int> unboxed(bool good, bool* went_on) {
  const std::unique_ptr<int> box = TRY(boxed(good));
  *went_on = true;
  return *box;
}

TEST(Try, GivesTheValueOrReturnsTheError) {
  bool went_on = false;
  EXPECT_EQ(unboxed(true, &went_on).value(), 3);
  EXPECT_TRUE(went_on);
  went_on = false;
  EXPECT_EQ(unboxed(false, &went_on).error().line(), "box it: no box");
  EXPECT_FALSE(went_on);
}

}  // namespace
}  // namespace tapferry
