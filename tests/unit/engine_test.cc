// SPDX-License-Identifier: MIT
//
// Both engines by the same tests: on a pair of sockets that keep frames apart, and on taps of a real kernel.
#include "vhost/engine.h"

#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <vector>

#include "base/fd.h"
#include "base/syscall.h"
#include "tests/unit/tc_case.h"
#include "vhost/uring_setup.h"

namespace tapferry {
namespace {

void signal_eventfd(const Fd& fd) { ASSERT_EQ(eventfd_write(fd.get(), 1), 0); }

class EngineTest : public testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    auto [ours, theirs] = socket_pair(SOCK_SEQPACKET).value();
    tap_ = std::move(ours);
    peer_ = std::move(theirs);
    ASSERT_TRUE(set_nonblocking(tap_.get(), true).is_ok());
    control_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    make(tap_.get());
  }

  void make(int tap_fd) {
    std::string reason;
    auto made = make_engine({.kind = GetParam(), .tap_fd = tap_fd, .control_fd = control_.get()}, &reason);
    if (!made.is_ok() && made.error().code() == EPERM) GTEST_SKIP() << "kernel: " << made.error().line();
    ASSERT_TRUE(made.is_ok()) << made.error().line();
    EXPECT_EQ(reason, "");
    engine_ = std::move(made).value();
  }

  // Frames of the given texts, each in two pieces if it is longer than one byte and `in_pieces` says so.
  std::vector<int> write(std::vector<std::string> texts, bool in_pieces) {
    std::vector<std::array<iovec, 2>> pieces(texts.size());
    std::vector<FrameIo> frames(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const size_t first = in_pieces ? 1 : texts[i].size();
      pieces[i] = {{{texts[i].data(), first}, {texts[i].data() + first, texts[i].size() - first}}};
      frames[i] = {.pieces = pieces[i].data(), .piece_count = in_pieces ? 2u : 1u, .result = 12345};
    }
    engine_->write(frames);
    std::vector<int> results;
    for (const FrameIo& frame : frames) results.push_back(frame.result);
    return results;
  }

  // What a burst of `count` reads brought: texts, or "-EAGAIN".
  std::vector<std::string> read(size_t count) {
    std::vector<std::array<char, 2000>> buffers(count);
    std::vector<std::array<iovec, 2>> pieces(count);
    std::vector<FrameIo> frames(count);
    for (size_t i = 0; i < count; ++i) {
      pieces[i] = {{{buffers[i].data(), 3}, {buffers[i].data() + 3, buffers[i].size() - 3}}};
      frames[i] = {.pieces = pieces[i].data(), .piece_count = 2, .result = 12345};
    }
    engine_->read(frames);
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; ++i) {
      const int result = frames[i].result;
      texts.push_back(result < 0 ? std::to_string(result) : std::string(buffers[i].data(), size_t(result)));
    }
    return texts;
  }

  void from_peer(const std::string& text) { ASSERT_EQ(send(peer_.get(), text.data(), text.size(), 0), text.size()); }
  std::string at_peer() {
    std::array<char, 2000> buffer{};
    const ssize_t n = recv(peer_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return n < 0 ? "" : std::string(buffer.data(), size_t(n));
  }

  // All that is told until nothing is.
  unsigned look() {
    unsigned all = 0;
    while (const unsigned ready = engine_->wait(0)) all |= ready;
    return all;
  }

  Fd tap_;
  Fd peer_;
  Fd control_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineTest, WritesBurstsOfAnySizeInOrder) {
  for (const size_t count : {1, 2, 3, 4, 5, 17, 64}) {
    for (const bool in_pieces : {false, true}) {
      std::vector<std::string> texts;
      for (size_t i = 0; i < count; ++i) texts.push_back("frame " + std::to_string(i));
      const std::vector<int> results = write(texts, in_pieces);
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(results[i], static_cast<int>(texts[i].size()));
        EXPECT_EQ(at_peer(), texts[i]);
      }
      EXPECT_EQ(at_peer(), "");
    }
  }
}

TEST_P(EngineTest, ReadsBurstsUntilNothingIsThere) {
  for (const size_t count : {1, 3, 4, 10, 64}) {
    from_peer("first");
    from_peer("second");
    std::vector<std::string> expected(count, std::to_string(-EAGAIN));
    expected[0] = "first";
    if (count > 1) expected[1] = "second";
    EXPECT_EQ(read(count), expected);
    if (count == 1) {
      EXPECT_EQ(read(1)[0], "second");
    }
  }
}

TEST_P(EngineTest, TellsWhichFramesHadNoRoom) {
  std::vector<std::string> texts(64, std::string(1900, 'x'));
  int written = 0;
  std::vector<int> results;
  do {
    results = write(texts, false);
    for (const int result : results) written += result > 0 ? 1 : 0;
  } while (results.back() > 0);
  EXPECT_EQ(results.back(), -EAGAIN);
  engine_->want_tap_out();
  EXPECT_FALSE(look() & kReadyTapOut);
  while (at_peer() != "") --written;
  EXPECT_EQ(written, 0);
  EXPECT_TRUE(look() & kReadyTapOut);
  EXPECT_FALSE(look() & kReadyTapOut) << "only after want_tap_out()";
  EXPECT_EQ(write({"more"}, false)[0], 4);
}

TEST_P(EngineTest, FrameThatCannotBeReadFromMemoryIsAnErrorOfItsOwn) {
  for (const size_t count : {3, 6}) {
    std::vector<FrameIo> frames(count);
    std::string text = "frame";
    std::vector<iovec> pieces(count, {text.data(), text.size()});
    pieces[1].iov_base = reinterpret_cast<void*>(8);  // not mapped
    for (size_t i = 0; i < count; ++i) frames[i] = {.pieces = &pieces[i], .piece_count = 1, .result = 0};
    engine_->write(frames);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(frames[i].result, i == 1 ? -EFAULT : 5) << i;
    for (size_t i = 1; i < count; ++i) EXPECT_EQ(at_peer(), "frame");
  }
}

TEST_P(EngineTest, TellsEachOfWhatItWatchesOnce) {
  EXPECT_EQ(look(), 0u);
  signal_eventfd(control_);
  EXPECT_EQ(look(), kReadyControl);
  EXPECT_EQ(look(), 0u);
  from_peer("frame");
  EXPECT_EQ(look(), kReadyTap);
  EXPECT_EQ(look(), 0u);
  EXPECT_EQ(read(5)[0], "frame");
  EXPECT_EQ(look(), 0u);
  from_peer("frame");
  EXPECT_EQ(look(), kReadyTap);
}

TEST_P(EngineTest, TapWithFramesThatNobodyReadsIsNotToldAgainAndAgain) {
  for (int i = 0; i < 4; ++i) from_peer("frame");
  look();
  read(2);
  look();  // told at most once more
  for (int i = 0; i < 5; ++i) EXPECT_EQ(engine_->wait(0) & kReadyTap, 0u);
}

TEST_P(EngineTest, KicksAreToldAtEachSignal) {
  const Fd rx(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const Fd tx(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  ASSERT_TRUE(engine_->watch_kicks(rx.get(), tx.get()).is_ok());
  EXPECT_EQ(look() & (kReadyRxKick | kReadyTxKick), unsigned{kReadyRxKick | kReadyTxKick}) << "once at once";
  for (int i = 0; i < 300; ++i) {
    signal_eventfd(i % 3 ? rx : tx);
    EXPECT_EQ(look(), unsigned{i % 3 ? kReadyRxKick : kReadyTxKick});
  }
}

TEST_P(EngineTest, KicksThatWereReplacedAreNotHeard) {
  const Fd old(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const Fd fresh(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  {
    const Fd ours(dup(old.get()));  // closed as the main thread does, with the front-end's copy still open
    ASSERT_TRUE(engine_->watch_kicks(ours.get(), -1).is_ok());
    look();
  }
  ASSERT_TRUE(engine_->watch_kicks(-1, fresh.get()).is_ok());
  look();
  signal_eventfd(old);
  EXPECT_EQ(look(), 0u);
  signal_eventfd(fresh);
  EXPECT_EQ(look(), kReadyTxKick);
  ASSERT_TRUE(engine_->watch_kicks(-1, -1).is_ok());
  look();
  signal_eventfd(fresh);
  EXPECT_EQ(look(), 0u);
}

TEST_P(EngineTest, FramesThatAreLeftAreToldOfIfTheEngineSaysSo) {
  from_peer("first");
  from_peer("second");
  look();
  EXPECT_EQ(read(1)[0], "first");
  EXPECT_EQ(look() & kReadyTap, engine_->tells_of_rest() ? unsigned{kReadyTap} : 0u);
  EXPECT_EQ(read(1)[0], "second");
}

TEST_P(EngineTest, GlanceSeesWhatHappensWhileFramesStream) {
  const auto glance = [this] {
    unsigned seen = 0;
    for (int i = 0; i < 5; ++i) seen |= engine_->glance(64, true);
    return seen;
  };
  EXPECT_EQ(read(1)[0], std::to_string(-EAGAIN));
  EXPECT_EQ(glance(), 0u);
  from_peer("frame");
  EXPECT_EQ(glance(), kReadyTap);
  EXPECT_EQ(glance(), 0u);
  EXPECT_EQ(read(1)[0], "frame");
  from_peer("another");
  EXPECT_EQ(glance(), kReadyTap);
  signal_eventfd(control_);
  EXPECT_EQ(glance(), kReadyControl);
  const uint64_t before = engine_->system_calls();
  for (int i = 0; i < 64; ++i) engine_->glance(1, true);
  EXPECT_LE(engine_->system_calls() - before, 1u);
}

TEST_P(EngineTest, SleepEndsByTimeOrByWhatIsWatched) {
  EXPECT_EQ(engine_->wait(1000), 0u);
  std::thread waker([this] { eventfd_write(control_.get(), 1); });
  EXPECT_EQ(engine_->wait(-1), kReadyControl);
  waker.join();
}

TEST_P(EngineTest, CountsItsSystemCalls) {
  const uint64_t before = engine_->system_calls();
  write(std::vector<std::string>(16, "frame"), false);
  const uint64_t calls = engine_->system_calls() - before;
  EXPECT_EQ(calls, GetParam() == EngineKind::kUring ? 1u : 16u);
}

TEST_P(EngineTest, TapThatWasDeletedIsAnErrorAndNotAWait) {
  TapCase::run([&](TapCase& self) {
    make(self.fd.get());
    TapCase::command("ip link del tap7");
    std::array<char, 64> bytes{};
    iovec piece = {bytes.data(), bytes.size()};
    for (const size_t count : {1, 8}) {
      std::vector<FrameIo> frames(count, {.pieces = &piece, .piece_count = 1, .result = 0});
      engine_->read(frames);
      EXPECT_LT(frames[0].result, 0);
      EXPECT_NE(frames[0].result, -EAGAIN);
    }
    engine_.reset();
  });
}

INSTANTIATE_TEST_SUITE_P(Both, EngineTest, testing::Values(EngineKind::kUring, EngineKind::kEpoll),
                         [](const auto& info) { return info.param == EngineKind::kUring ? "uring" : "epoll"; });

class Ring : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = socket_pair(SOCK_SEQPACKET).value();
    tap_ = std::move(pair.first);
    peer_ = std::move(pair.second);
    ASSERT_TRUE(set_nonblocking(tap_.get(), true).is_ok());
    control_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const Status made = set_up_ring(&ring_, 8, tap_.get(), control_.get());
    if (!made.is_ok() && made.error().code() == EPERM) GTEST_SKIP() << "kernel: " << made.error().line();
    ASSERT_TRUE(made.is_ok()) << made.error().line();
    is_made_ = true;
  }
  void TearDown() override {
    if (is_made_) io_uring_queue_exit(&ring_);
  }
  int result_of(const io_uring_sqe& entry) {
    *io_uring_get_sqe(&ring_) = entry;
    io_uring_submit_and_wait(&ring_, 1);
    io_uring_cqe* cqe = nullptr;
    io_uring_peek_cqe(&ring_, &cqe);
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    return result;
  }

  Fd tap_;
  Fd peer_;
  Fd control_;
  io_uring ring_ = {};
  bool is_made_ = false;
};

TEST_F(Ring, DoesNothingButWhatItWasMadeFor) {
  signal_eventfd(control_);  // so that looking at it ends
  for (int operation = 0; operation < IORING_OP_LAST; ++operation) {
    io_uring_sqe entry = {};
    io_uring_prep_rw(operation, &entry, kControlFile, nullptr, 0, 0);
    entry.flags = IOSQE_FIXED_FILE;
    if (operation == IORING_OP_POLL_ADD) entry.poll32_events = POLLIN;
    const int result = result_of(entry);
    const bool is_ours = operation == IORING_OP_READ || operation == IORING_OP_READV || operation == IORING_OP_WRITE ||
                         operation == IORING_OP_WRITEV || operation == IORING_OP_POLL_ADD ||
                         operation == IORING_OP_POLL_REMOVE;
    EXPECT_EQ(result == -EACCES, !is_ours) << operation << ": " << strerror(-result);
  }
}

TEST_F(Ring, TouchesRegisteredFilesOnly) {
  char byte = 0;
  io_uring_sqe entry = {};
  io_uring_prep_read(&entry, tap_.get(), &byte, 1, 0);
  EXPECT_EQ(result_of(entry), -EACCES);
  io_uring_prep_read(&entry, kTapFile, &byte, 1, 0);
  entry.flags = IOSQE_FIXED_FILE;
  entry.rw_flags = RWF_NOWAIT;
  EXPECT_EQ(result_of(entry), -EAGAIN);
}

TEST_F(Ring, CannotBeGivenMoreRights) {
  iovec memory = {&ring_, sizeof ring_};
  EXPECT_EQ(io_uring_register_buffers(&ring_, &memory, 1), -EACCES);
  EXPECT_EQ(io_uring_register_personality(&ring_), -EACCES);
  EXPECT_EQ(io_uring_register_eventfd(&ring_, control_.get()), -EACCES);
}

TEST(RwFlags, AreProbedOnATapWithoutWaitingForIt) {
  TapCase::run([](TapCase& self) { EXPECT_TRUE(probe_rw_flags(self.fd.get()).is_ok()); });
}

TEST(RwFlags, DescriptorOnWhichReadsStayPostedIsRefused) {
  auto pair = socket_pair(SOCK_SEQPACKET).value();
  EXPECT_TRUE(probe_rw_flags(pair.first.get()).is_ok()) << "RWF_NOWAIT does without O_NONBLOCK";
}

}  // namespace
}  // namespace tapferry
