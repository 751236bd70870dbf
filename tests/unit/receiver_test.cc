// SPDX-License-Identifier: MIT
#include "vhost/receiver.h"

#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>

#include "tests/unit/pair_case.h"

namespace tapferry {
namespace {

class ReceiverTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped()) return;
    pair_.start(&queue_, pair_.driver_->rx());
    receiver_ = Receiver::make(engine_.get(), &counters_, nullptr).value();
    receiver_->configure(pair_.rules(), &pair_.memory_, nullptr);
  }

  bool is_mergeable() const { return GetParam().shape.is_mergeable; }
  Progress run() { return receiver_->run(queue_); }
  // Until nothing moves.
  Progress run_all() {
    Progress progress = run();
    while (progress == Progress::kMore || (progress == Progress::kIdle && (engine_->wait(0) & kReadyTap))) {
      progress = run();
    }
    return progress;
  }
  uint64_t drops(Drop why) const { return counters_.drops[static_cast<size_t>(why)].get(); }

  QueueCounters counters_;
  std::unique_ptr<Receiver> receiver_;
};

// With guests that merge buffers.
class MergingReceiverTest : public ReceiverTest {};

TEST_P(ReceiverTest, FramesArriveWholeAndInOrder) {
  pair_.post(64, 2048);
  for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(pair_.host_sends(frame_text(i, 20 + i * 10)));
  EXPECT_EQ(run_all(), Progress::kIdle);
  for (unsigned i = 0; i < 60; ++i) ASSERT_EQ(pair_.guest_gets(), frame_text(i, 20 + i * 10)) << i;
  EXPECT_EQ(pair_.guest_gets(), "");
  EXPECT_EQ(counters_.frames.get(), 60u);
  EXPECT_EQ(counters_.moved_frames.get(), 0u);
  pair_.expect_sound();
}

TEST_P(ReceiverTest, NothingIsReadBeforeThereAreBuffers) {
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  EXPECT_EQ(run(), Progress::kStarved);
  EXPECT_FALSE(receiver_->has_waiting());
  pair_.post(3, 2048);
  run_all();
  EXPECT_EQ(pair_.guest_gets(), frame_text(1, 100));
}

TEST_P(MergingReceiverTest, LargeFramesAmongSmallOnesKeepTheOrder) {
  std::mt19937 random(7);
  const unsigned least = GetParam().shape.ring_size < 128 ? 1500 : 12;  // so that the ring has room for the largest
  std::vector<size_t> sizes;
  for (unsigned round = 0; round < 60; ++round) {
    const unsigned frames = 1 + random() % 12;
    for (unsigned i = 0; i < frames; ++i) {
      const size_t bytes = random() % 3 == 0 ? 1 + random() % 65000 : 14 + random() % 1500;
      if (!pair_.host_sends(frame_text(static_cast<unsigned>(sizes.size()), bytes))) break;
      sizes.push_back(bytes);
    }
    const unsigned spare = 8 + random() % 200;
    do {
      const front::Shape shape = {.is_indirect = true, .pieces = {13, 200}};
      if (!pair_.driver_->post(least + random() % 4000, shape).value()) break;
    } while (pair_.driver_->rx().free_slots() > spare);
    pair_.driver_->rx().publish();
    run_all();
  }
  unsigned got = 0;
  for (;; ++got) {
    std::string text = pair_.guest_gets(true);
    while (text.empty() && (run_all() == Progress::kStarved || receiver_->has_waiting())) {
      text = pair_.guest_gets(true);
      if (text.empty() && !pair_.driver_->post(4000, {}).value()) break;
      pair_.driver_->rx().publish();
    }
    if (text.empty()) text = pair_.guest_gets(true);
    if (text.empty()) break;
    ASSERT_LT(got, sizes.size());
    ASSERT_TRUE(text == frame_text(got, sizes[got])) << got << ": " << text.size() << " of " << sizes[got] << " bytes";
  }
  EXPECT_EQ(got, sizes.size());
  EXPECT_EQ(counters_.frames.get(), sizes.size());
  for (const Counter& drop : counters_.drops) EXPECT_EQ(drop.get(), 0u);
  pair_.expect_sound();
}

TEST_P(MergingReceiverTest, LargeFrameInABurstMovesOnThoseBehindIt) {
  unsigned number = 0;
  pair_.post(60, 1100);
  const auto expect = [&](const std::vector<size_t>& sizes) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      ASSERT_TRUE(pair_.host_sends(frame_text(number + static_cast<unsigned>(i), sizes[i])));
    }
    run_all();
    for (const size_t bytes : sizes) ASSERT_TRUE(pair_.guest_gets(true) == frame_text(number++, bytes)) << number;
  };
  expect(std::vector<size_t>(40, 500));  // bursts are long from here on
  // One in so many that it isn't taken for a stream of large ones.
  std::vector<size_t> sizes(40, 700);
  for (const size_t place : {size_t{0}, size_t{17}, size_t{39}}) {
    for (const size_t bytes : {size_t{1089}, size_t{3000}, size_t{9000}}) {
      sizes.assign(40, 700);
      sizes[place] = bytes;
      expect(sizes);
    }
  }
  EXPECT_GT(counters_.moved_frames.get(), 0u);
  EXPECT_EQ(counters_.frames.get(), 40u + 9 * 40);
  pair_.expect_sound();
}

TEST_P(MergingReceiverTest, StreamOfLargeFramesIsReadIntoPlaceWithoutCopies) {
  pair_.post(64, 4096);
  uint64_t moved = 0;
  for (unsigned i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair_.host_sends(frame_text(i, 60000)));
    run_all();
    ASSERT_TRUE(pair_.guest_gets(true) == frame_text(i, 60000)) << i;
    EXPECT_EQ(pair_.last_buffer_count_, 15u);
    if (i == 4) moved = counters_.moved_frames.get();
  }
  EXPECT_EQ(counters_.moved_frames.get(), moved);
}

TEST_P(MergingReceiverTest, FrameThatLacksBuffersWaitsAndNothingIsReadMeanwhile) {
  pair_.post(4, 1000);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 500)));
  ASSERT_TRUE(pair_.host_sends(frame_text(2, 5500)));
  ASSERT_TRUE(pair_.host_sends(frame_text(3, 700)));
  EXPECT_EQ(run_all(), Progress::kStarved);
  EXPECT_EQ(pair_.guest_gets(), frame_text(1, 500));
  EXPECT_EQ(pair_.guest_gets(), "");
  EXPECT_TRUE(receiver_->has_waiting());
  pair_.post(1, 1000);
  EXPECT_EQ(run_all(), Progress::kStarved);
  receiver_->give_back(queue_);  // as when it parks; what waits doesn't hang on the buffers
  pair_.post(20, 1000);
  EXPECT_EQ(run_all(), Progress::kIdle);
  EXPECT_EQ(pair_.guest_gets(), frame_text(2, 5500));
  EXPECT_EQ(pair_.last_buffer_count_, 6u);
  EXPECT_EQ(pair_.guest_gets(), frame_text(3, 700));
  pair_.expect_sound();
}

TEST_P(MergingReceiverTest, WaitingFramesCanBeForgotten) {
  pair_.post(1, 1000);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 3000)));
  EXPECT_EQ(run_all(), Progress::kStarved);
  receiver_->forget_waiting();
  pair_.post(5, 1000);
  ASSERT_TRUE(pair_.host_sends(frame_text(2, 300)));
  run_all();
  EXPECT_EQ(pair_.guest_gets(), frame_text(2, 300));
}

TEST_P(ReceiverTest, FrameThatNeverFitsIsDroppedAndTheNextComesThrough) {
  const unsigned size = GetParam().shape.ring_size;
  pair_.post(is_mergeable() ? size : 10, 100);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 40)));
  ASSERT_TRUE(pair_.host_sends(frame_text(2, is_mergeable() ? size * 100 + 1 : 101)));
  ASSERT_TRUE(pair_.host_sends(frame_text(3, 50)));
  run_all();
  EXPECT_EQ(pair_.guest_gets(true), frame_text(1, 40));
  run_all();
  EXPECT_EQ(pair_.guest_gets(), frame_text(3, 50));
  EXPECT_EQ(drops(Drop::kTooLarge), 1u);
  pair_.expect_sound();
}

TEST_P(ReceiverTest, BuffersMayBeCutAnywhereEvenInTheHeader) {
  for (const std::vector<uint32_t>& pieces :
       {std::vector<uint32_t>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {10}, {11}, {12}, {5, 6}, {3, 800}}) {
    for (const bool is_indirect : {false, true}) {
      pair_.post(2, 1600, {.is_indirect = is_indirect, .pieces = pieces});
      ASSERT_TRUE(pair_.host_sends(frame_text(1, 1500)));
      ASSERT_TRUE(pair_.host_sends(frame_text(2, 900)));
      run_all();
      ASSERT_EQ(pair_.guest_gets(), frame_text(1, 1500));
      EXPECT_EQ(pair_.last_buffer_count_, 1u);
      ASSERT_EQ(pair_.guest_gets(), frame_text(2, 900));
    }
  }
  pair_.expect_sound();
}

TEST_P(MergingReceiverTest, BuffersSmallerThanTheHeaderAreFilledAsTheyCome) {
  pair_.post(40, 11);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  run_all();
  std::string bytes;
  unsigned count = 0;
  for (front::Used used; pair_.driver_->rx().next_used(&used); ++count) EXPECT_EQ(used.written, count == 10 ? 2u : 11u);
  EXPECT_EQ(count, 11u);
  pair_.expect_sound();
}

TEST_P(ReceiverTest, ReadableBufferBreaksTheRing) {
  const uint64_t gpa = pair_.file_->take_buffer(2048).value();
  const front::Buffer readable = {.gpa = gpa, .bytes = 2048, .is_writable = false};
  ASSERT_TRUE(pair_.driver_->rx().add(std::span(&readable, 1), false, 0));
  pair_.driver_->rx().publish();
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  EXPECT_EQ(run(), Progress::kStopped);
  EXPECT_EQ(queue_.ring.fault().rule, RingFault::Rule::kWriteOnlyExpected);
}

TEST_P(ReceiverTest, PagesThatWereWrittenAreLogged) {
  Fd bitmap(memfd_create("log", MFD_CLOEXEC));
  const size_t bytes = PairCase::kMemory / DirtyLog::kPageBytes / 8;
  ASSERT_EQ(ftruncate(bitmap.get(), static_cast<off_t>(bytes)), 0);
  DirtyLog log;
  ASSERT_TRUE(log.set(bytes, 0, Fd(dup(bitmap.get()))).is_ok());
  receiver_->configure(pair_.rules(), &pair_.memory_, &log);
  const uint64_t gpa = pair_.file_->allocate(8 * 4096, 4096).value();
  const std::array<front::Buffer, 2> chain = {{{gpa + 100, 3000, true}, {gpa + 5 * 4096, 4000, true}}};
  ASSERT_TRUE(pair_.driver_->rx().add(chain, false, 0));
  pair_.driver_->rx().publish();
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 3500)));
  run_all();
  std::string bits(bytes, '\0');
  ASSERT_EQ(pread(bitmap.get(), bits.data(), bytes, 0), static_cast<ssize_t>(bytes));
  for (uint64_t page = 0; page < bytes * 8; ++page) {
    const bool is_set = bits[page / 8] >> page % 8 & 1;
    EXPECT_EQ(is_set, page == gpa / 4096 || page == gpa / 4096 + 5) << page;
  }
}

TEST_P(ReceiverTest, TapThatIsGoneStopsIt) {
  pair_.post(10, 2048);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  pair_.host_.reset();
  EXPECT_EQ(run_all(), Progress::kStopped);
  EXPECT_EQ(pair_.guest_gets(), frame_text(1, 100));
  EXPECT_NE(receiver_->tap_error(), 0);
}

constexpr PairShape kSplit = {};
constexpr PairShape kOld = {.has_event_idx = false, .is_mergeable = false, .header_bytes = 10};
constexpr PairShape kPlain = {.is_mergeable = false, .has_large_receive = false};
constexpr PairShape kPacked = {.is_packed = true};
constexpr PairShape kPackedInOrder = {.is_packed = true, .is_in_order = true};
constexpr PairShape kSmallRing = {.ring_size = 64};

const auto kMerging = testing::Values(EngineCase{"split_uring", kSplit, EngineKind::kUring},
                                      EngineCase{"split_epoll", kSplit, EngineKind::kEpoll},
                                      EngineCase{"packed_uring", kPacked, EngineKind::kUring},
                                      EngineCase{"packed_in_order_epoll", kPackedInOrder, EngineKind::kEpoll},
                                      EngineCase{"small_ring_uring", kSmallRing, EngineKind::kUring});
const auto kPlainOnes = testing::Values(EngineCase{"old_uring", kOld, EngineKind::kUring},
                                        EngineCase{"plain_uring", kPlain, EngineKind::kUring},
                                        EngineCase{"plain_epoll", kPlain, EngineKind::kEpoll});
const auto name_of = [](const auto& info) { return info.param.name; };

INSTANTIATE_TEST_SUITE_P(Merging, ReceiverTest, kMerging, name_of);
INSTANTIATE_TEST_SUITE_P(Plain, ReceiverTest, kPlainOnes, name_of);
INSTANTIATE_TEST_SUITE_P(Merging, MergingReceiverTest, kMerging, name_of);

}  // namespace
}  // namespace tapferry
