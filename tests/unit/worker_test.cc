// SPDX-License-Identifier: MIT
//
// A whole worker with its thread: the test is guest, host and main thread.
#include "vhost/worker.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <set>

#include "tests/lib/flow_frames.h"
#include "tests/unit/pair_case.h"
#include "vhost/memory_guard.h"

namespace tapferry {
namespace {

struct Case {
  const char* name;
  PairShape shape;
  EngineKind engine;
};

class WorkerTest : public testing::TestWithParam<Case> {
 protected:
  WorkerTest() : pair_(GetParam().shape) {}

  void SetUp() override {
    event_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    auto worker =
        Worker::start({.pair = 1, .tap_fd = pair_.tap_.get(), .engine = GetParam().engine, .event_fd = event_.get()});
    if (!worker.is_ok() && worker.error().code() == EPERM) GTEST_SKIP() << "kernel: " << worker.error().line();
    ASSERT_TRUE(worker.is_ok()) << worker.error().line();
    worker_ = std::move(worker).value();
    set_up();
    worker_->resume();
  }

  void set_up() {
    worker_->set_rules(pair_.rules());
    worker_->set_memory(&pair_.memory_, nullptr);
    pair_.start(&worker_->rx(), pair_.driver_->rx());
    pair_.start(&worker_->tx(), pair_.driver_->tx());
  }

  // A front-end's kick, when the ring asks for one.
  void kick(const DeviceQueue& queue, bool is_wanted) {
    if (!is_wanted) return;
    eventfd_write(queue.kick.get(), 1);
    ++kicks_;
  }
  void post(unsigned count, uint32_t bytes) {
    for (unsigned i = 0; i < count && pair_.driver_->post(bytes, {}).value(); ++i) continue;
    kick(worker_->rx(), pair_.driver_->rx().publish());
  }
  bool guest_sends(const std::string& text) {
    pair_.driver_->reap_sent();
    if (!pair_.guest_sends(text)) return false;
    kick(worker_->tx(), pair_.driver_->tx().publish());
    return true;
  }

  // What comes within a time that is long for any machine; "" if nothing does.
  template <typename Get>
  std::string wait_for(Get get) {
    for (int i = 0; i < 5000; ++i) {
      std::string text = get();
      if (!text.empty()) return text;
      usleep(1000);
    }
    return "";
  }
  std::string host_waits() {
    return wait_for([this] { return pair_.host_gets(); });
  }
  std::string guest_waits() {
    return wait_for([this] {
      std::string text = pair_.guest_gets(false);
      if (!text.empty()) post(pair_.last_buffer_count_, 2048);
      return text;
    });
  }
  std::string wait_for_trouble() {
    return wait_for([this] { return worker_->has_trouble() ? worker_->take_trouble() : ""; });
  }

  PairCase pair_;
  Fd event_;
  unsigned kicks_ = 0;
  std::unique_ptr<Worker> worker_;
};

TEST_P(WorkerTest, FramesCrossBothWays) {
  post(128, 2048);
  unsigned from_host = 0;
  unsigned to_guest = 0;
  unsigned from_guest = 0;
  unsigned to_host = 0;
  while (to_guest < 2000 || to_host < 2000) {
    for (int i = 0; i < 40 && from_host < 2000; ++i) {
      if (!pair_.host_sends(frame_text(from_host, 40 + from_host % 1400))) break;
      ++from_host;
    }
    for (int i = 0; i < 40 && from_guest < 2000 && guest_sends(frame_text(from_guest, 50 + from_guest % 1300)); ++i) {
      ++from_guest;
    }
    if (to_guest < from_host) {
      const std::string text = guest_waits();
      ASSERT_EQ(text, frame_text(to_guest, 40 + to_guest % 1400));
      ++to_guest;
    }
    if (to_host < from_guest) {
      ASSERT_EQ(host_waits(), frame_text(to_host, 50 + to_host % 1300));
      ++to_host;
    }
  }
  worker_->park();
  EXPECT_EQ(worker_->counters().rx.frames.get(), 2000u);
  EXPECT_EQ(worker_->counters().tx.frames.get(), 2000u);
  EXPECT_FALSE(worker_->has_trouble());
  pair_.expect_sound();
}

TEST_P(WorkerTest, ParkedWorkerTouchesNothing) {
  post(16, 2048);
  worker_->park();
  worker_->park();
  ASSERT_TRUE(guest_sends(frame_text(1, 100)));
  ASSERT_TRUE(pair_.host_sends(frame_text(2, 100)));
  usleep(20000);
  EXPECT_EQ(pair_.host_gets(), "");
  EXPECT_EQ(pair_.guest_gets(), "");
  EXPECT_TRUE(worker_->send_to_tap(frame_text(3, 60).data(), 60).is_ok());
  EXPECT_EQ(pair_.host_gets(), frame_text(3, 60));
  worker_->resume();
  EXPECT_EQ(host_waits(), frame_text(1, 100));
  EXPECT_EQ(guest_waits(), frame_text(2, 100));
}

TEST_P(WorkerTest, RingsCanBeMovedUnderTrafficWithoutLosingAFrame) {
  post(200, 2048);
  unsigned sent = 0;
  unsigned got = 0;
  for (unsigned round = 0; round < 50; ++round) {
    for (int i = 0; i < 30 && guest_sends(frame_text(sent, 200)); ++i) ++sent;
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(pair_.host_sends(frame_text(round * 30 + i, 300)));
    worker_->park();
    const uint32_t rx_base = worker_->rx().ring.stop();
    ASSERT_TRUE(worker_->tx().ring.relocate(&pair_.memory_, nullptr).is_ok());
    pair_.start(&worker_->rx(), pair_.driver_->rx(), rx_base);
    worker_->resume();
    for (int i = 0; i < 30; ++i) ASSERT_EQ(guest_waits(), frame_text(round * 30 + i, 300));
    while (got < sent) {
      ASSERT_EQ(host_waits(), frame_text(got, 200));
      ++got;
    }
  }
  pair_.expect_sound();
}

TEST_P(WorkerTest, IdleWorkerSleepsAndIsKickedAwake) {
  post(16, 2048);
  for (unsigned i = 0; i < 10; ++i) {
    ASSERT_TRUE(guest_sends(frame_text(i, 100)));
    ASSERT_EQ(host_waits(), frame_text(i, 100));
    ASSERT_TRUE(pair_.host_sends(frame_text(i, 200)));
    ASSERT_EQ(guest_waits(), frame_text(i, 200));
    usleep(2000);
  }
  EXPECT_GT(kicks_, 0u);
  const uint64_t wakeups = worker_->counters().wakeups.get();
  const uint64_t calls = worker_->counters().system_calls.get();
  EXPECT_GT(wakeups, 0u);
  usleep(200000);
  EXPECT_EQ(worker_->counters().wakeups.get(), wakeups);
  EXPECT_EQ(worker_->counters().system_calls.get(), calls);
}

TEST_P(WorkerTest, HostThatFloodsAGuestWithoutBuffersKeepsNobodyAwake) {
  for (unsigned i = 0; i < 50; ++i) ASSERT_TRUE(pair_.host_sends(frame_text(i, 100)));
  usleep(20000);
  const uint64_t wakeups = worker_->counters().wakeups.get();
  usleep(50000);
  EXPECT_EQ(worker_->counters().wakeups.get(), wakeups);
  post(64, 2048);
  for (unsigned i = 0; i < 50; ++i) ASSERT_EQ(guest_waits(), frame_text(i, 100));
}

TEST_P(WorkerTest, TapThatWasFullGoesOnWhenItHasRoom) {
  const int room = 20000;
  setsockopt(pair_.tap_.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(guest_sends(frame_text(i, 1500)));
  usleep(20000);
  // One that found room while those of its burst before it had found none may come first.
  std::set<std::string> expected;
  for (unsigned i = 0; i < 60; ++i) expected.insert(frame_text(i, 1500));
  for (unsigned i = 0; i < 60; ++i) ASSERT_EQ(expected.erase(host_waits()), 1u) << i;
}

TEST_P(WorkerTest, BrokenRingIsReportedOnceAndTheOtherOneGoesOn) {
  const uint64_t gpa = pair_.file_->take_buffer(2048).value();
  const front::Buffer nowhere = {.gpa = gpa + (uint64_t{1} << 32), .bytes = 2048, .is_writable = false};
  worker_->park();
  ASSERT_TRUE(pair_.driver_->tx().add(std::span(&nowhere, 1), false, 0));
  pair_.driver_->tx().publish();
  worker_->tx().err = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const int err = worker_->tx().err.get();
  worker_->resume();
  pollfd told = {.fd = event_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&told, 1, 5000), 1);
  const std::string trouble = wait_for_trouble();
  EXPECT_NE(trouble.find("queue 3"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("memory"), std::string::npos) << trouble;
  eventfd_t value = 0;
  EXPECT_EQ(eventfd_read(event_.get(), &value), 0);
  EXPECT_EQ(eventfd_read(err, &value), 0);
  post(4, 2048);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  EXPECT_EQ(guest_waits(), frame_text(1, 100));
  EXPECT_FALSE(worker_->has_trouble());
}

TEST_P(WorkerTest, MemoryThatIsTruncatedUnderItIsReported) {
  ASSERT_TRUE(install_memory_guard().is_ok());
  post(32, 2048);
  ASSERT_TRUE(pair_.host_sends(frame_text(1, 100)));
  ASSERT_EQ(guest_waits(), frame_text(1, 100));
  ASSERT_EQ(ftruncate(pair_.file_->regions().front().file.get(), 0), 0);
  for (unsigned i = 0; i < 100 && !worker_->has_trouble(); ++i) {
    pair_.host_sends(frame_text(i, 100));
    eventfd_write(worker_->tx().kick.get(), 1);
    usleep(1000);
  }
  EXPECT_NE(wait_for_trouble().find("memory"), std::string::npos);
  worker_->park();
  worker_.reset();
  reset_lost_memory();
}

TEST_P(WorkerTest, ConsecutiveFramesOfAFlowBecomeOne) {
  if (GetParam().shape.header_bytes != 12) return;  // the frames are made for a header of 12 bytes
  worker_->park();
  FrameRules rules = pair_.rules();
  rules.merge.tcp4 = true;
  worker_->set_rules(rules);
  for (unsigned i = 0; i < 8; ++i) {
    const test::Bytes frame = test::flow_frame({.data_bytes = 500, .sequence = 1000 + i * 500, .id = 40 + i});
    const std::string text(frame.begin() + 12, frame.end());
    ASSERT_TRUE(pair_.guest_sends(text));
  }
  pair_.driver_->tx().publish();
  worker_->resume();
  EXPECT_EQ(host_waits().size(), 14u + 20 + 20 + 8 * 500);
  worker_->park();
  EXPECT_EQ(worker_->counters().tx.merged_frames.get(), 8u);
  EXPECT_EQ(worker_->counters().tx.merged_into.get(), 1u);
  EXPECT_EQ(worker_->counters().tx.frames.get(), 8u);
  EXPECT_EQ(pair_.driver_->reap_sent(), 8u);
}

TEST(Worker, SpinsForAWhileIfAskedAndThenSleeps) {
  PairCase pair({});
  auto worker = Worker::start({.tap_fd = pair.tap_.get(), .engine = EngineKind::kEpoll, .busy_poll_us = 2000}).value();
  worker->set_rules(pair.rules());
  worker->set_memory(&pair.memory_, nullptr);
  pair.start(&worker->rx(), pair.driver_->rx());
  pair.start(&worker->tx(), pair.driver_->tx());
  pair.post(16, 2048);
  worker->resume();
  ASSERT_TRUE(pair.host_sends(frame_text(1, 100)));
  while (pair.guest_gets().empty()) usleep(100);
  usleep(100000);
  const uint64_t calls = worker->counters().system_calls.get();
  usleep(50000);
  EXPECT_EQ(worker->counters().system_calls.get(), calls);
}

TEST(Worker, EngineThatWasAskedForAndCannotBeMadeIsAnError) {
  const auto worker = Worker::start({.tap_fd = -1, .engine = EngineKind::kEpoll});
  ASSERT_FALSE(worker.is_ok());
  EXPECT_EQ(worker.error().code(), EBADF);
}

INSTANTIATE_TEST_SUITE_P(All, WorkerTest,
                         testing::Values(Case{"split_uring", {}, EngineKind::kUring},
                                         Case{"split_epoll", {}, EngineKind::kEpoll},
                                         Case{"packed_uring", {.is_packed = true}, EngineKind::kUring},
                                         Case{"old_uring",
                                              {.has_event_idx = false, .is_mergeable = false, .header_bytes = 10},
                                              EngineKind::kUring}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tapferry
