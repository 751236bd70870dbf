// SPDX-License-Identifier: MIT
#include "vhost/sender.h"

#include <gtest/gtest.h>

#include "tests/unit/pair_case.h"

namespace tapferry {
namespace {

class SenderTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped()) return;
    pair_.start(&queue_, pair_.driver_->tx());
    sender_ = std::make_unique<Sender>(engine_.get(), &counters_, nullptr);
    sender_->configure(pair_.rules());
  }

  Progress run_all() {
    Progress progress = sender_->run(queue_);
    while (progress == Progress::kMore) progress = sender_->run(queue_);
    return progress;
  }
  void guest_sends(unsigned from, unsigned count, size_t bytes) {
    for (unsigned i = from; i < from + count; ++i) ASSERT_TRUE(pair_.guest_sends(frame_text(i, bytes)));
    pair_.driver_->tx().publish();
  }
  uint64_t drops(Drop why) const { return counters_.tx.drops[static_cast<size_t>(why)].get(); }
  bool is_notified() {
    eventfd_t value = 0;
    return eventfd_read(queue_.call.get(), &value) == 0;
  }

  PairCounters counters_;
  std::unique_ptr<Sender> sender_;
};

TEST_P(SenderTest, FramesGoOutWholeAndInOrderAndComeBack) {
  for (const unsigned count : {1u, 3u, 16u, 60u}) {
    guest_sends(0, count, 100 + count);
    EXPECT_EQ(run_all(), Progress::kIdle);
    for (unsigned i = 0; i < count; ++i) ASSERT_EQ(pair_.host_gets(), frame_text(i, 100 + count));
    EXPECT_EQ(pair_.driver_->reap_sent(), count);
  }
  EXPECT_EQ(counters_.tx.frames.get(), 80u);
  EXPECT_EQ(counters_.tx.bytes.get(), 101u + 3 * 103 + 16 * 116 + 60 * 160);
  pair_.expect_sound();
}

TEST_P(SenderTest, FramesMayBeCutAnywhere) {
  for (const std::vector<uint32_t>& pieces :
       {std::vector<uint32_t>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {10, 5}, {26}}) {
    for (const bool is_indirect : {false, true}) {
      ASSERT_TRUE(pair_.guest_sends(frame_text(1, 1500), {.is_indirect = is_indirect, .pieces = pieces}));
      ASSERT_TRUE(
          pair_.guest_sends(frame_text(2, 60000), {.has_own_header = true, .is_indirect = is_indirect, .pieces = {}}));
      pair_.driver_->tx().publish();
      run_all();
      ASSERT_EQ(pair_.host_gets(), frame_text(1, 1500));
      ASSERT_EQ(pair_.host_gets(), frame_text(2, 60000));
      EXPECT_EQ(pair_.driver_->reap_sent(), 2u);
    }
  }
}

TEST_P(SenderTest, WhatIsNoFrameIsDroppedAndGivenBackInItsPlace) {
  const uint64_t gpa = pair_.file_->take_buffer(4096).value();
  const std::array<front::Buffer, 2> with_writable = {{{gpa, 100, false}, {gpa + 100, 100, true}}};
  ASSERT_TRUE(pair_.guest_sends(frame_text(1, 60)));
  ASSERT_TRUE(pair_.guest_sends(frame_text(2, 13)));  // a byte short of an Ethernet header
  ASSERT_TRUE(pair_.guest_sends(frame_text(3, 14)));
  ASSERT_TRUE(pair_.driver_->tx().add(with_writable, false, 3));
  ASSERT_TRUE(pair_.guest_sends(frame_text(4, 60)));
  pair_.driver_->tx().publish();
  EXPECT_EQ(run_all(), Progress::kIdle);
  EXPECT_EQ(pair_.host_gets(), frame_text(1, 60));
  EXPECT_EQ(pair_.host_gets(), frame_text(3, 14));
  EXPECT_EQ(pair_.host_gets(), frame_text(4, 60));
  EXPECT_EQ(pair_.host_gets(), "");
  EXPECT_EQ(drops(Drop::kTooShort), 1u);
  EXPECT_EQ(drops(Drop::kOther), 1u);
  EXPECT_EQ(pair_.driver_->tx().outstanding(), 5u);
  for (front::Used used; pair_.driver_->tx().next_used(&used);) EXPECT_EQ(used.written, 0u);
  pair_.expect_sound();
}

TEST_P(SenderTest, QueueThatIsDisabledIsDrained) {
  queue_.is_enabled = false;
  guest_sends(0, 20, 100);
  EXPECT_EQ(run_all(), Progress::kIdle);
  EXPECT_EQ(pair_.host_gets(), "");
  EXPECT_EQ(pair_.driver_->reap_sent(), 20u);
  EXPECT_EQ(drops(Drop::kDisabled), 20u);
}

TEST_P(SenderTest, GuestIsSignalledOncePerBurst) {
  pair_.driver_->tx().ask_for_calls(true);
  guest_sends(0, 40, 100);
  run_all();
  EXPECT_TRUE(is_notified());
  EXPECT_EQ(counters_.tx.notifications.get(), 1u);
}

TEST_P(SenderTest, FramesThatFindNoRoomAreSentLaterAndOnlyOnce) {
  const int room = 20000;
  setsockopt(pair_.tap_.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  unsigned sent = 0;
  unsigned got = 0;
  unsigned blocked = 0;
  for (unsigned round = 0; round < 200 && got < 300; ++round) {
    for (; sent < 300 && pair_.guest_sends(frame_text(sent, 1500)); ++sent) continue;
    pair_.driver_->tx().publish();
    if (run_all() == Progress::kBlocked) ++blocked;
    // One whole burst at most is under way, so the order within it may be that of the ring's places.
    for (std::string text = pair_.host_gets(); !text.empty(); text = pair_.host_gets(), ++got) {
      ASSERT_EQ(text, frame_text(got, 1500));
    }
    pair_.driver_->reap_sent();
  }
  EXPECT_EQ(got, 300u);
  EXPECT_EQ(counters_.tx.frames.get(), 300u);
  EXPECT_GT(blocked, 0u);
  pair_.expect_sound();
}

TEST_P(SenderTest, FramesThatFoundNoRoomAreTheGuestsAgainWhenItParks) {
  const int room = 20000;
  setsockopt(pair_.tap_.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  guest_sends(0, 60, 1500);
  ASSERT_EQ(run_all(), Progress::kBlocked);
  EXPECT_EQ(pair_.driver_->reap_sent(), 0u);
  sender_->give_back(queue_);
  const unsigned done = pair_.driver_->reap_sent();
  const uint64_t sent = counters_.tx.frames.get();
  EXPECT_EQ(done, sent);
  EXPECT_GT(sent, 0u);
  const uint32_t base = queue_.ring.stop();
  pair_.start(&queue_, pair_.driver_->tx(), base);
  unsigned got = 0;
  do {
    for (std::string text = pair_.host_gets(); !text.empty(); text = pair_.host_gets()) {
      EXPECT_EQ(text, frame_text(got++, 1500));
    }
  } while (run_all() == Progress::kBlocked || got < counters_.tx.frames.get());
  EXPECT_EQ(got, 60u);
  EXPECT_EQ(drops(Drop::kOther), 0u);
  pair_.driver_->reap_sent();
  EXPECT_EQ(pair_.driver_->tx().outstanding(), 0u);
  pair_.expect_sound();
}

TEST_P(SenderTest, TapThatIsGoneStopsIt) {
  pair_.host_.reset();
  guest_sends(0, 3, 100);
  EXPECT_EQ(run_all(), Progress::kStopped);
  EXPECT_NE(sender_->tap_error(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, SenderTest,
    testing::Values(EngineCase{"split_uring", {}, EngineKind::kUring},
                    EngineCase{"split_epoll", {}, EngineKind::kEpoll},
                    EngineCase{"packed_uring", {.is_packed = true}, EngineKind::kUring},
                    EngineCase{"packed_in_order_epoll", {.is_packed = true, .is_in_order = true}, EngineKind::kEpoll},
                    EngineCase{"old_uring",
                               {.has_event_idx = false, .is_mergeable = false, .header_bytes = 10},
                               EngineKind::kUring}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tapferry
