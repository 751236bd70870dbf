// SPDX-License-Identifier: MIT
#include "tools/frame_loop.h"

#include <cerrno>
#include <glib-unix.h>
#include <memory>
#include <optional>
#include <unistd.h>

#include "base/log.h"
#include "base/syscall.h"
#include "net/vnet_hdr.h"
#include "tools/command.h"

namespace tapferry {
namespace {

// The largest frame with GSO: 65535 bytes of IP behind an Ethernet header, rounded up (drivers/net/tun.c).
constexpr size_t kMaxFrame = 65550;
// Frames of one queue before the others, the timer and the signals get their turn.
constexpr int kFramesPerTurn = 64;
constexpr uint64_t kMaxErrorLines = 20;

class FrameLoop {
 public:
  explicit FrameLoop(const FrameLoopOptions& options)
      : options_(options),
        buffer_(options.vnet_hdr_sz + kMaxFrame + 1),  // one more byte tells a frame that was cut
        loop_(g_main_loop_new(nullptr, FALSE)) {}
  ~FrameLoop() {
    for (const guint source : sources_) g_source_remove(source);
    g_main_loop_unref(loop_);
  }
  FrameLoop(const FrameLoop&) = delete;
  FrameLoop& operator=(const FrameLoop&) = delete;

  Result<FrameTally> run();

 private:
  struct Queue {
    FrameLoop* loop;
    int fd;
  };

  static gboolean on_stop(gpointer data);
  static gboolean on_stop_readable(int fd, GIOCondition condition, gpointer data);
  static gboolean on_readable(int fd, GIOCondition condition, gpointer data);

  // False when there is nothing (more) to read now.
  bool read_frame(int fd);
  void take_frame(int fd, std::span<uint8_t> frame, View header);
  void write_frame(int fd, View frame);
  void capture(View frame);
  void announce();
  void tally(EchoReply::Kind kind);
  void report(const Error& error);
  void stop(std::optional<Error> error);

  const FrameLoopOptions& options_;
  Bytes buffer_;
  GMainLoop* loop_;
  std::vector<guint> sources_;  // those that don't remove themselves
  std::vector<std::unique_ptr<Queue>> queues_;
  FrameTally tally_;
  std::optional<Error> failure_;
  bool has_stopped_ = false;
};

std::string frame_name(size_t bytes) { return "a frame of " + std::to_string(bytes) + " bytes"; }

gboolean FrameLoop::on_stop(gpointer data) {
  static_cast<FrameLoop*>(data)->stop(std::nullopt);
  return G_SOURCE_CONTINUE;
}

gboolean FrameLoop::on_stop_readable(int, GIOCondition, gpointer data) { return on_stop(data); }

gboolean FrameLoop::on_readable(int, GIOCondition, gpointer data) {
  const auto* queue = static_cast<Queue*>(data);
  for (int i = 0; i < kFramesPerTurn && !queue->loop->has_stopped_; ++i) {
    if (!queue->loop->read_frame(queue->fd)) break;
  }
  return G_SOURCE_CONTINUE;
}

Result<FrameTally> FrameLoop::run() {
  sources_.push_back(g_unix_fd_add(options_.stop_fd, G_IO_IN, on_stop_readable, this));
  if (options_.duration_s != 0) sources_.push_back(g_timeout_add_seconds(options_.duration_s, on_stop, this));
  for (const int fd : options_.queues) {
    TRY(set_nonblocking(fd, true));
    queues_.push_back(std::make_unique<Queue>(Queue{this, fd}));
    sources_.push_back(g_unix_fd_add(fd, G_IO_IN, on_readable, queues_.back().get()));
  }
  if (options_.guest != nullptr) announce();
  if (!has_stopped_) g_main_loop_run(loop_);
  if (failure_) return *std::move(failure_);
  return tally_;
}

bool FrameLoop::read_frame(int fd) {
  const ssize_t n = retry_on_eintr([&] { return read(fd, buffer_.data(), buffer_.size()); });
  if (n < 0) {
    if (errno != EAGAIN) stop(Error::from_errno("read from", "the tap", errno));
    return false;
  }
  const auto length = static_cast<size_t>(n);
  const size_t header = options_.vnet_hdr_sz;
  ++tally_.frames_in;
  if (length < header) {
    report(Error("read", std::to_string(length) + " bytes", "short: the vnet header has " + std::to_string(header)));
  } else if (length == buffer_.size()) {
    report(Error("read", frame_name(length - header), "it was longer than any frame can be, and is cut"));
  } else {
    take_frame(fd, std::span(buffer_).subspan(header, length - header), View(buffer_).first(header));
  }
  return true;
}

void FrameLoop::take_frame(int fd, std::span<uint8_t> frame, View header) {
  if (header.size() >= kMinVnetHdrSize) {
    const Status completed = complete_checksum(read_vnet_hdr(header), frame);
    if (!completed.is_ok()) report(completed.error());
  }
  capture(frame);
  if (options_.guest == nullptr) {
    if (tally_.frames_in == options_.count) stop(std::nullopt);
    return;
  }
  auto reply = options_.guest->answer(frame, g_get_monotonic_time() / 1000);
  if (!reply.is_ok()) {
    report(Error("read", frame_name(frame.size()), reply.error().reason()));
    return;
  }
  for (const Bytes& answer : reply.value().frames) write_frame(fd, answer);
  tally(reply.value().kind);
}

void FrameLoop::tally(EchoReply::Kind kind) {
  switch (kind) {
    case EchoReply::Kind::kNone: break;
    case EchoReply::Kind::kArp: ++tally_.arp; break;
    case EchoReply::Kind::kNeighbour: ++tally_.neighbour; break;
    case EchoReply::Kind::kEcho:
      if (++tally_.echo == options_.count) stop(std::nullopt);
      break;
  }
}

void FrameLoop::write_frame(int fd, View frame) {
  // A header of zeros: checksums are whole and nothing is to be segmented.
  Bytes bytes(options_.vnet_hdr_sz, 0);
  append(&bytes, frame);
  const ssize_t n = retry_on_eintr([&] { return write(fd, bytes.data(), bytes.size()); });
  if (n == static_cast<ssize_t>(bytes.size())) {
    ++tally_.frames_out;
    capture(frame);
  } else if (n < 0) {
    report(Error::from_errno("write", frame_name(frame.size()), errno));
  } else {
    report(Error("write", frame_name(frame.size()),
                 "short: of " + std::to_string(bytes.size()) + " bytes the tap took " + std::to_string(n)));
  }
}

void FrameLoop::capture(View frame) {
  if (options_.pcap == nullptr || has_stopped_) return;
  const Status written = options_.pcap->write(frame, pcap_time_ns());
  if (!written.is_ok()) stop(written.error());
}

void FrameLoop::announce() {
  for (const Bytes& frame : options_.guest->announce()) write_frame(options_.queues[0], frame);
}

void FrameLoop::report(const Error& error) {
  ++tally_.errors;
  if (tally_.errors <= kMaxErrorLines) log_error(kProgram, error);
  if (tally_.errors == kMaxErrorLines) log_line(kProgram, "further errors are only counted");
}

void FrameLoop::stop(std::optional<Error> error) {
  if (!has_stopped_) failure_ = std::move(error);
  has_stopped_ = true;
  g_main_loop_quit(loop_);
}

}  // namespace

Result<FrameTally> exchange_frames(const FrameLoopOptions& options) { return FrameLoop(options).run(); }

}  // namespace tapferry
