// SPDX-License-Identifier: MIT
#include "vhost/uring_engine.h"

#include <cerrno>
#include <poll.h>

#include "base/log.h"
#include "vhost/plain_io.h"

namespace tapferry {
namespace {

// A burst and all polls; a power of two.
constexpr unsigned kEntries = 128;

// Smaller bursts go by one call each.
constexpr size_t kMinRingBurst = 4;

// user_data: a frame's index; or, above those, a poll's number and the generation of its descriptor.
constexpr uint64_t kPollTag = uint64_t{1} << 32;
constexpr uint64_t kRemoval = ~uint64_t{0};

constexpr long long kNsPerUs = 1000;
constexpr long long kUsPerS = 1000000;

}  // namespace

UringEngine::UringEngine(const EngineOptions& options)
    : options_(options),
      min_ring_burst_(options.min_ring_burst != 0 ? options.min_ring_burst : kMinRingBurst),
      polls_{{{kTapFile, kReadyTap, POLLIN, false, true},
              {kTapFile, kReadyTapOut, POLLOUT, false},
              {kControlFile, kReadyControl, POLLIN, true, true},
              {kRxKickFile, kReadyRxKick, POLLIN, true},
              {kTxKickFile, kReadyTxKick, POLLIN, true}}} {}

UringEngine::~UringEngine() {
  if (is_set_up_) io_uring_queue_exit(&ring_);
}

Result<std::unique_ptr<Engine>> UringEngine::make(const EngineOptions& options) {
  auto engine = std::unique_ptr<UringEngine>(new UringEngine(options));
  engine->rw_flags_ = TRY(probe_rw_flags(options.tap_fd));
  TRY(set_up_ring(&engine->ring_, kEntries, options.tap_fd, options.control_fd));
  engine->is_set_up_ = true;
  return std::unique_ptr<Engine>(std::move(engine));
}

void UringEngine::prepare_frame(io_uring_sqe* sqe, const FrameIo& frame, bool is_read, unsigned index) const {
  // An offset, though a tap has none, spares the kernel the look-up of the file's own.
  if (frame.piece_count == 1) {
    io_uring_prep_rw(is_read ? IORING_OP_READ : IORING_OP_WRITE, sqe, kTapFile, frame.pieces->iov_base,
                     static_cast<unsigned>(frame.pieces->iov_len), 0);
  } else {
    io_uring_prep_rw(is_read ? IORING_OP_READV : IORING_OP_WRITEV, sqe, kTapFile, frame.pieces, frame.piece_count, 0);
  }
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->rw_flags = rw_flags_;
  sqe->user_data = index;
}

void UringEngine::do_burst(std::span<FrameIo> frames, bool is_read) {
  unsigned index = 0;
  for (FrameIo& frame : frames) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    prepare_frame(sqe, frame, is_read, index++);
  }
  unsigned done = 0;
  submit();
  while ((done += reap(frames)) < frames.size()) [[unlikely]] enter(1);
}

void UringEngine::write(std::span<FrameIo> frames) {
  if (frames.size() >= min_ring_burst_) {
    do_burst(frames, false);
  } else {
    system_calls_ += write_burst(options_.tap_fd, frames);
  }
}

void UringEngine::read(std::span<FrameIo> frames) {
  polls_[kTap].is_wanted = !polls_[kTap].is_dead;
  if (frames.size() >= min_ring_burst_) {
    do_burst(frames, true);
  } else {
    system_calls_ += read_burst(options_.tap_fd, frames);
  }
}

// A ring that can't be entered any more would leave frames' memory named in it, so there is no going on.
void UringEngine::check_entered(int result) {
  ++system_calls_;
  if (result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY) [[likely]]
    return;
  log_error("tapferry-vhost", Error::from_errno("enter", "an io_uring", -result));
  abort();
}

void UringEngine::submit() { check_entered(io_uring_submit(&ring_)); }

void UringEngine::enter(unsigned wait_for) {
  check_entered(wait_for == 0 ? io_uring_submit_and_get_events(&ring_) : io_uring_submit_and_wait(&ring_, wait_for));
}

// Takes all completions; returns how many frames of the burst were among them.
unsigned UringEngine::reap(std::span<FrameIo> frames) {
  unsigned head = 0;
  unsigned seen = 0;
  unsigned done = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    if (cqe->user_data < frames.size()) [[likely]] {
      frames[cqe->user_data].result = cqe->res;
      ++done;
    } else {
      note(*cqe);
    }
  }
  if (seen != 0) io_uring_cq_advance(&ring_, seen);
  return done;
}

uint64_t UringEngine::poll_tag(const Poll& poll) const {
  const auto index = static_cast<uint64_t>(&poll - polls_.data());
  const bool is_kick = poll.file == kRxKickFile || poll.file == kTxKickFile;
  return (kPollTag * (index + 1)) | (is_kick ? generation_ : 0);
}

void UringEngine::note(const io_uring_cqe& cqe) {
  if (cqe.user_data == kRemoval) return;
  Poll& poll = polls_[cqe.user_data / kPollTag - 1];
  if (cqe.user_data != poll_tag(poll)) return;  // of a descriptor that isn't watched any more
  ready_ |= poll.told;
  if (cqe.flags & IORING_CQE_F_MORE) return;
  poll.is_posted = false;
  // A multishot poll that ends by itself (the kernel couldn't keep its completions) is posted again; one that fails would
  // fail again.
  if (!poll.is_multishot || cqe.res < 0) poll.is_wanted = false;
  // A tap whose interface was deleted would be told again and again.
  if (cqe.res < 0 || (cqe.res & (POLLERR | POLLHUP)) != 0) poll.is_dead = true;
}

void UringEngine::post(Poll& poll) {
  if (!poll.is_wanted || poll.is_posted) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return;
  if (poll.is_multishot) {
    io_uring_prep_poll_multishot(sqe, poll.file, poll.events);
  } else {
    io_uring_prep_poll_add(sqe, poll.file, poll.events);
  }
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->user_data = poll_tag(poll);
  poll.is_posted = true;
}

void UringEngine::post_polls() {
  for (Poll& poll : polls_) post(poll);
}

void UringEngine::remove_poll(Poll& poll) {
  if (!poll.is_posted) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  io_uring_prep_poll_remove(sqe, poll_tag(poll));
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->user_data = kRemoval;
  poll.is_posted = false;
}

unsigned UringEngine::wait(int timeout_us) {
  reap({});
  // Not for completions that tell of nothing, as those of polls that were removed.
  while (ready_ == 0 && timeout_us < 0) {
    post_polls();
    enter(1);
    reap({});
  }
  if (ready_ == 0) look_for(timeout_us);
  return std::exchange(ready_, 0);
}

void UringEngine::look_for(int timeout_us) {
  post_polls();
  if (timeout_us == 0) {
    enter(0);
  } else {
    __kernel_timespec limit = {.tv_sec = timeout_us / kUsPerS, .tv_nsec = timeout_us % kUsPerS * kNsPerUs};
    io_uring_cqe* cqe = nullptr;
    ++system_calls_;
    (void)io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr);
  }
  reap({});
}

// The kernel says in memory that it has completions to make (IORING_SETUP_TASKRUN_FLAG).
bool UringEngine::has_pending_work() const {
  if (!(ring_.flags & IORING_SETUP_TASKRUN_FLAG)) return true;
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

unsigned UringEngine::glance(unsigned /*frames*/, bool wants_tap) {
  for (Poll& poll : polls_) {
    if (poll.told != kReadyTap || wants_tap) post(poll);
  }
  if (io_uring_sq_ready(&ring_) != 0 || has_pending_work()) enter(0);
  reap({});
  return std::exchange(ready_, 0);
}

Status UringEngine::watch_kicks(int rx_fd, int tx_fd) {
  remove_poll(polls_[kRxKick]);
  remove_poll(polls_[kTxKick]);
  enter(0);
  reap({});
  ++generation_;
  for (Poll& poll : polls_) poll.is_dead = false;
  const std::array fds = {rx_fd, tx_fd};
  static_assert(kTxKickFile == kRxKickFile + 1);
  ++system_calls_;
  const int result = io_uring_register_files_update(&ring_, kRxKickFile, fds.data(), fds.size());
  if (result < 0) return Error::from_errno("register kicks with", "an io_uring", -result);
  polls_[kRxKick].is_wanted = rx_fd >= 0;
  polls_[kTxKick].is_wanted = tx_fd >= 0;
  ready_ |= kReadyRxKick | kReadyTxKick;
  return {};
}

void UringEngine::want_tap_out() { polls_[kTapOut].is_wanted = !polls_[kTapOut].is_dead; }

}  // namespace tapferry
