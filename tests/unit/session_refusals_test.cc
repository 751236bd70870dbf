// SPDX-License-Identifier: MIT
//
// What a front-end does wrong: told to those that ask, the end for those that don't, and no descriptor kept.
#include <filesystem>

#include "tests/unit/session_case.h"

namespace tapferry {
namespace {

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

TEST_F(SessionTest, AcknowledgesWhatIsAskedFor) {
  EXPECT_EQ(acknowledged(Request::kSetOwner), 0u);
  done(Request::kSetOwner);
  EXPECT_FALSE(has_reply());
}

TEST_F(SessionTest, RequestWithAReplyOfItsOwnIsNotAcknowledgedTwice) {
  ASSERT_TRUE(send(static_cast<uint32_t>(Request::kGetFeatures), "", {}, 1 | 8).is_ok());
  EXPECT_NE(reply_u64(Request::kGetFeatures), 0u);
  EXPECT_FALSE(has_reply());
}

TEST_F(SessionTest, FailureIsToldAndTheSessionGoesOn) {
  negotiate();
  EXPECT_EQ(acknowledged(Request::kSetVringNum, ring(4, 256)), 1u);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0], "do SET_VRING_NUM: there is no ring 4, only 4");
  start(0);
  EXPECT_TRUE(queue(0).ring.is_started());
}

TEST_F(SessionTest, FailureThatNobodyAskedAboutEndsIt) {
  EXPECT_EQ(ended(Request::kSetVringNum, ring(4, 256)), "do SET_VRING_NUM: there is no ring 4, only 4");
}

TEST_F(SessionTest, UnknownRequestIsAcknowledgedAsFailedOrEndsIt) {
  ASSERT_TRUE(send(35, std::string(8, '\0'), {}, 1 | 8).is_ok());
  EXPECT_EQ(reply_u64(static_cast<Request>(35)), 1u);
  const auto served = send(24, std::string(268, '\0'));
  ASSERT_FALSE(served.is_ok());
  EXPECT_EQ(served.error().line(), "do request 24: no such request is known here");
}

TEST_F(SessionTest, ReplyThatCannotSayNoEndsIt) {
  negotiate();
  EXPECT_FALSE(send(static_cast<uint32_t>(Request::kGetVringBase), ring(9, 0), {}, 1 | 8).is_ok());
}

TEST_F(SessionTest, FailuresHaveALimit) {
  for (unsigned i = 0; i < kMaxRefusals; ++i) EXPECT_EQ(acknowledged(Request::kSetVringNum, ring(9, 1)), 1u);
  const auto served = send(static_cast<uint32_t>(Request::kSetVringNum), ring(9, 1), {}, 1 | 8);
  ASSERT_FALSE(served.is_ok());
  EXPECT_NE(served.error().line().find("more than 32"), std::string::npos);
  EXPECT_EQ(said_.size(), kMaxRefusals);
}

TEST_F(SessionTest, PeerThatClosesIsNoError) {
  front_end_.reset();
  const auto served = session_->serve();
  ASSERT_TRUE(served.is_ok());
  EXPECT_FALSE(served.value());
}

TEST_F(SessionTest, ManyMessagesAtOnceAreServedInTurns) {
  const uint32_t header[] = {static_cast<uint32_t>(Request::kSetOwner), 1 | 8, 0};
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(::send(front_end_.get(), header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
  }
  int replies = 0;
  for (int turn = 0; turn < 4; ++turn) {
    ASSERT_TRUE(session_->serve().is_ok());
    char bytes[20];
    while (recv(front_end_.get(), bytes, sizeof bytes, MSG_DONTWAIT) == 20) ++replies;
    EXPECT_EQ(replies, std::min(200, (turn + 1) * 64));
  }
}

// CVE-2019-14818: repeated messages made a back-end keep descriptors and memory of each.
TEST_F(SessionTest, RepeatedMessagesKeepNoDescriptors) {
  negotiate();
  const Fd event(eventfd(0, EFD_CLOEXEC));
  const auto once = [&] {
    done(Request::kSetMemTable, table(region()), {memory_fd()});
    start(0);
    for (const Request request : {Request::kSetVringCall, Request::kSetVringErr, Request::kSetVringKick}) {
      done(request, u64(0), {event.get()});
    }
    done(Request::kSetLogFd, "", {event.get()});
    EXPECT_EQ(acknowledged(Request::kSetVringCall, u64(9), {event.get()}), 1u);
    EXPECT_EQ(acknowledged(Request::kSetOwner, "", {event.get(), event.get()}), 1u);
    EXPECT_EQ(acknowledged(Request::kSetMemTable, table(region(0, 0)), {memory_fd()}), 1u);
    done(Request::kSetMemTable, table(region()), {memory_fd()});
    stopped_at(0);
  };
  once();
  const size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) once();
  EXPECT_EQ(open_descriptors(), before);
}

// CVE-2020-10722: the log's size and offset were added up beyond 64 bits.
TEST_F(SessionTest, LogWhoseEndWrapsIsRefused) {
  negotiate();
  const Fd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), 0x1000), 0);
  EXPECT_NE(ended(Request::kSetLogBase, bytes(~uint64_t{0} - 0xfff, uint64_t{0x2000}), {log.get()}), "it goes on");
}

}  // namespace
}  // namespace tapferry
