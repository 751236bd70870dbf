// SPDX-License-Identifier: MIT
#include "vhost/pair_worker.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "base/syscall.h"
#include "vhost/memory_guard.h"
#include "vhost/tap_port.h"

namespace tapferry {
namespace {

// Those that say what the thread itself did wrong stay with it; the others are the main thread's.
sigset_t signals_of_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&set, own);
  return set;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::start(const WorkerOptions& options) { return PairWorker::start(options); }

Result<std::unique_ptr<Worker>> PairWorker::start(const WorkerOptions& options) {
  auto worker = std::unique_ptr<PairWorker>(new PairWorker(options));
  worker->control_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!worker->control_.is_open()) return Error::from_errno("make", "an eventfd", errno);
  TRY(worker->start_thread());
  worker->parking_.wait_parked();
  if (worker->start_error_) return *std::move(worker->start_error_);
  return std::unique_ptr<Worker>(std::move(worker));
}

Status PairWorker::start_thread() {
  const sigset_t blocked = signals_of_others();
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  pthread_t thread = {};
  const int error = pthread_create(&thread, nullptr, thread_main, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return Error::from_errno("start", "a thread", error);
  thread_ = thread;
  (void)pthread_setname_np(thread, ("pair " + std::to_string(options_.pair)).c_str());
  return {};
}

PairWorker::~PairWorker() {
  if (!thread_) return;
  parking_.ask_to_end();
  (void)eventfd_write(control_.get(), 1);
  pthread_join(*thread_, nullptr);
}

void* PairWorker::thread_main(void* worker) {
  auto* self = static_cast<PairWorker*>(worker);
  Status made = self->make_parts();
  if (!made.is_ok()) self->start_error_ = std::move(made).error();
  self->serve();
  return nullptr;
}

Status PairWorker::make_parts() {
  const EngineOptions options = {.kind = options_.engine, .tap_fd = options_.tap_fd, .control_fd = control_.get()};
  engine_ = TRY(make_engine(options, &engine_reason_));
  receiver_ = TRY(Receiver::make(engine_.get(), &counters_.rx, options_.frame_tap));
  sender_ = std::make_unique<Sender>(engine_.get(), &counters_, options_.frame_tap);
  return {};
}

void PairWorker::park() {
  parking_.ask_to_park();
  (void)eventfd_write(control_.get(), 1);
  parking_.wait_parked();
}

void PairWorker::resume() {
  follow_use();
  parking_.let_go();
}

// A guest may use fewer pairs than it has: one with one processor, or by `ethtool -L`. The host's frames would wait for ever in a
// queue that nobody reads, so such a queue is put out of use. Not the first: a tap without any drops what comes.
void PairWorker::follow_use() {
  const auto is_live = [](const DeviceQueue& queue) {
    return queue.ring.is_started() && !queue.ring.is_broken() && queue.is_enabled;
  };
  const bool is_used = options_.pair == 0 || is_live(rx_) || is_live(tx_);
  if (is_used == is_tap_in_use_) return;
  const Status changed = use_queue(options_.tap_fd, is_used);
  if (changed.is_ok()) {
    is_tap_in_use_ = is_used;
  } else if (is_used) {
    report(changed.error().line());
  }
}

Status PairWorker::send_to_tap(const void* frame, size_t bytes) {
  uint8_t header[12] = {};
  const std::array<iovec, 2> pieces = {{{header, rules_.header_bytes}, {const_cast<void*>(frame), bytes}}};
  const ssize_t written = retry_on_eintr([&] { return writev(options_.tap_fd, pieces.data(), pieces.size()); });
  if (written < 0) return Error::from_errno("write to", "the tap", errno);
  return {};
}

std::string PairWorker::take_trouble() {
  const std::scoped_lock lock(trouble_mutex_);
  has_trouble_.store(false, std::memory_order_release);
  return std::exchange(trouble_, {});
}

void PairWorker::report(const std::string& text) {
  {
    const std::scoped_lock lock(trouble_mutex_);
    trouble_ += (trouble_.empty() ? "" : "; ") + text;
    has_trouble_.store(true, std::memory_order_release);
  }
  if (options_.event_fd >= 0) (void)eventfd_write(options_.event_fd, 1);
}

void PairWorker::serve() {
  while (parking_.wait()) {
    begin();
    while (!parking_.is_wanted()) turn();
    receiver_->give_back(rx_);
    sender_->give_back(tx_);
    count_calls();
  }
  // As it came, for whoever holds it too.
  if (!is_tap_in_use_) (void)use_queue(options_.tap_fd, true);
}

// What may have changed while it was parked is everything.
void PairWorker::begin() {
  receiver_->configure(rules_, memory_, log_);
  sender_->configure(rules_);
  is_receiving_ = rx_.ring.is_started() && rx_.is_enabled && !rx_.ring.is_broken() && !is_memory_lost();
  is_sending_ = tx_.ring.is_started() && !tx_.ring.is_broken() && !is_memory_lost();
  tap_has_frames_ = has_buffers_ = tap_has_room_ = true;
  idle_since_.reset();
  const Status watched = engine_->watch_kicks(rx_.kick.get(), tx_.kick.get());
  if (!watched.is_ok()) report(watched.error().line());
}

void PairWorker::turn() {
  const unsigned moved = receive() + send();
  look_at_memory();
  count_calls();
  if (moved != 0) {
    idle_since_.reset();
    note(engine_->glance(moved, !tap_has_frames_));
    return;
  }
  if (options_.busy_poll_us != 0 && spins()) return;
  if (!arm()) sleep();
  if (is_sending_) tx_.ring.disarm_kicks();
  if (is_receiving_) rx_.ring.disarm_kicks();
}

// How much was done; what needs to be done at once counts, too.
unsigned PairWorker::receive() {
  if (!is_receiving_ || !has_buffers_ || !(tap_has_frames_ || receiver_->has_waiting())) return 0;
  const uint64_t before = counters_.rx.frames.get();
  const Progress progress = receiver_->run(rx_);
  if (progress == Progress::kStopped) break_queue(rx_, &is_receiving_, 2 * options_.pair, receiver_->tap_error());
  if (progress == Progress::kStarved) has_buffers_ = false;
  if (progress == Progress::kIdle) tap_has_frames_ = false;
  const auto frames = static_cast<unsigned>(counters_.rx.frames.get() - before);
  return progress == Progress::kMore ? std::max(frames, 1u) : frames;
}

// Always looks: as long as it doesn't sleep nobody kicks.
unsigned PairWorker::send() {
  if (!is_sending_ || !tap_has_room_) return 0;
  const uint64_t before = counters_.tx.frames.get();
  const Progress progress = sender_->run(tx_);
  if (progress == Progress::kStopped) break_queue(tx_, &is_sending_, 2 * options_.pair + 1, sender_->tap_error());
  if (progress == Progress::kBlocked) {
    tap_has_room_ = false;
    engine_->want_tap_out();
  }
  const auto frames = static_cast<unsigned>(counters_.tx.frames.get() - before);
  return progress == Progress::kMore ? std::max(frames, 1u) : frames;
}

void PairWorker::break_queue(DeviceQueue& queue, bool* is_live, unsigned index, int tap_error) {
  *is_live = false;
  follow_use();
  if (queue.err.is_open()) (void)eventfd_write(queue.err.get(), 1);
  report(queue.ring.is_broken() ? describe(queue.ring.fault(), index)
                                : Error::from_errno("use", "the tap", tap_error).line());
}

void PairWorker::look_at_memory() {
  if (!is_memory_lost()) [[likely]]
    return;
  if (!is_receiving_ && !is_sending_) return;
  is_receiving_ = is_sending_ = false;
  report("guest memory is gone: its file was truncated");
}

// Looks on for a while instead of sleeping: true.
bool PairWorker::spins() {
  const auto now = Clock::now();
  if (!idle_since_) idle_since_ = now;
  if (now - *idle_since_ >= std::chrono::microseconds(options_.busy_poll_us)) return false;
  tap_has_frames_ = has_buffers_ = tap_has_room_ = true;
  return true;
}

// True if there is something to do by now. Buffers are asked for only if they lack, so that a guest that refills its ring
// needn't say so.
bool PairWorker::arm() {
  const bool is_more = is_sending_ && tap_has_room_ && tx_.ring.arm_kicks();
  if (is_receiving_ && !has_buffers_ && rx_.ring.arm_kicks()) has_buffers_ = true;
  return is_more || (is_receiving_ && has_buffers_ && (tap_has_frames_ || receiver_->has_waiting()));
}

void PairWorker::sleep() {
  receiver_->tidy();
  const unsigned ready = engine_->wait(-1);
  counters_.wakeups.add(1);
  count_calls();
  idle_since_.reset();
  note(ready);
}

void PairWorker::note(unsigned ready) {
  if (ready & kReadyTap) tap_has_frames_ = true;
  if (ready & kReadyRxKick) has_buffers_ = true;
  if (ready & kReadyTapOut) tap_has_room_ = true;
}

void PairWorker::count_calls() {
  const uint64_t now = engine_->system_calls() + counters_.rx.notifications.get() + counters_.tx.notifications.get();
  if (now == calls_counted_) return;
  counters_.system_calls.add(now - calls_counted_);
  calls_counted_ = now;
}

}  // namespace tapferry
