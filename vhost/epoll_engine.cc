// SPDX-License-Identifier: MIT
#include "vhost/epoll_engine.h"

#include <array>
#include <sys/epoll.h>

#include "vhost/plain_io.h"

namespace tapferry {
namespace {

// A look costs about as much as half a frame.
constexpr unsigned kLookFrames = 64;

constexpr long kNsPerUs = 1000;
constexpr long kUsPerS = 1000000;

Status watch(int set, int operation, int fd, uint32_t events, unsigned ready) {
  epoll_event event = {.events = events | EPOLLET, .data = {.u32 = ready}};
  if (epoll_ctl(set, operation, fd, &event) != 0) {
    return Error::from_errno("watch", "descriptor " + std::to_string(fd), errno);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> EpollEngine::make(const EngineOptions& options) {
  auto engine = std::unique_ptr<EpollEngine>(new EpollEngine(options));
  TRY(engine->watch_kicks(-1, -1));
  engine->ready_ = 0;
  return std::unique_ptr<Engine>(std::move(engine));
}

void EpollEngine::write(std::span<FrameIo> frames) { system_calls_ += write_burst(options_.tap_fd, frames); }

void EpollEngine::read(std::span<FrameIo> frames) { system_calls_ += read_burst(options_.tap_fd, frames); }

unsigned EpollEngine::wait(int timeout_us) {
  std::array<epoll_event, 8> events;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the kernel
  const bool is_patient = ready_ == 0 && timeout_us != 0;
  const timespec limit = {.tv_sec = timeout_us / kUsPerS, .tv_nsec = timeout_us % kUsPerS * kNsPerUs};
  const timespec none = {};
  const timespec* timeout = !is_patient ? &none : timeout_us < 0 ? nullptr : &limit;
  ++system_calls_;
  // Interrupted by what a ring of this thread that was closed leaves to be done, if not by a signal.
  const int count =
      retry_on_eintr([&] { return epoll_pwait2(set_.get(), events.data(), events.size(), timeout, nullptr); });
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.u32 != kReadyTap) {
      ready_ |= event.data.u32;
      continue;
    }
    if (event.events & ~static_cast<uint32_t>(EPOLLOUT)) ready_ |= kReadyTap;
    if (wants_tap_out_ && (event.events & (EPOLLOUT | EPOLLERR))) {
      wants_tap_out_ = false;
      ready_ |= kReadyTapOut;
      ++system_calls_;
      (void)watch(set_.get(), EPOLL_CTL_MOD, options_.tap_fd, EPOLLIN, kReadyTap);
    }
  }
  return std::exchange(ready_, 0);
}

unsigned EpollEngine::glance(unsigned frames, bool /*wants_tap*/) {
  frames_since_look_ += frames;
  if (frames_since_look_ < kLookFrames) return std::exchange(ready_, 0);
  frames_since_look_ = 0;
  return wait(0);
}

// A new set each time: an entry goes by its descriptor's number, and the main thread has closed the old kicks by now, while the
// front-end keeps what they stood for open.
Status EpollEngine::watch_kicks(int rx_fd, int tx_fd) {
  Fd set(epoll_create1(EPOLL_CLOEXEC));
  if (!set.is_open()) return Error::from_errno("make", "an epoll set", errno);
  TRY(watch(set.get(), EPOLL_CTL_ADD, options_.tap_fd, wants_tap_out_ ? EPOLLIN | EPOLLOUT : EPOLLIN, kReadyTap));
  TRY(watch(set.get(), EPOLL_CTL_ADD, options_.control_fd, EPOLLIN, kReadyControl));
  if (rx_fd >= 0) TRY(watch(set.get(), EPOLL_CTL_ADD, rx_fd, EPOLLIN, kReadyRxKick));
  if (tx_fd >= 0) TRY(watch(set.get(), EPOLL_CTL_ADD, tx_fd, EPOLLIN, kReadyTxKick));
  set_ = std::move(set);
  ready_ |= kReadyRxKick | kReadyTxKick;
  return {};
}

void EpollEngine::want_tap_out() {
  if (wants_tap_out_) return;
  wants_tap_out_ = true;
  ++system_calls_;
  (void)watch(set_.get(), EPOLL_CTL_MOD, options_.tap_fd, EPOLLIN | EPOLLOUT, kReadyTap);
}

}  // namespace tapferry
