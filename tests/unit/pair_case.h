// SPDX-License-Identifier: MIT
//
// A pair of queues with everything around it but a front-end: guest memory, the driver's side of the rings, and a socket that
// keeps frames apart in the place of the tap.
#pragma once

#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/syscall.h"
#include "tests/lib/front/net_driver.h"
#include "vhost/worker.h"

namespace tapferry {

struct PairShape {
  bool is_packed = false;
  bool has_event_idx = true;
  bool is_in_order = false;
  bool is_mergeable = true;
  bool has_large_receive = true;
  unsigned header_bytes = 12;
  unsigned ring_size = 256;
};

class PairCase {
 public:
  static constexpr uint64_t kMemory = 64 << 20;

  explicit PairCase(const PairShape& shape) : shape_(shape) {
    file_ = front::GuestMemoryFile::make().value();
    EXPECT_TRUE(file_->add(0, kMemory).is_ok());
    const front::GuestRegion& region = file_->regions().front();
    EXPECT_TRUE(memory_
                    .add({.gpa = 0, .size = kMemory, .uva = file_->uva_of(0), .mmap_offset = region.offset},
                         Fd(dup(region.file.get())))
                    .is_ok());
    const front::RingOptions options = {.size = shape.ring_size,
                                        .is_packed = shape.is_packed,
                                        .has_event_idx = shape.has_event_idx,
                                        .is_in_order = shape.is_in_order};
    driver_ = front::NetDriver::make(options, shape.header_bytes, shape.is_mergeable, file_.get()).value();
    auto [ours, theirs] = socket_pair(SOCK_SEQPACKET).value();
    tap_ = std::move(ours);
    host_ = std::move(theirs);
    for (const Fd* end : {&tap_, &host_}) {
      EXPECT_TRUE(set_nonblocking(end->get(), true).is_ok());
      const int room = 8 << 20;
      (void)setsockopt(end->get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    }
  }

  FrameRules rules() const {
    return {.header_bytes = shape_.header_bytes,
            .has_mergeable_buffers = shape_.is_mergeable,
            .has_large_receive = shape_.has_large_receive,
            .mtu = 1500,
            .merge = {}};
  }

  void start(DeviceQueue* queue, front::DriverRing& ring, std::optional<uint32_t> base = {}) {
    const front::RingAddresses& at = ring.addresses();
    VirtqueueConfig config;
    config.size = ring.size();
    config.desc_uva = file_->uva_of(at.desc);
    config.avail_uva = file_->uva_of(at.avail);
    config.used_uva = file_->uva_of(at.used);
    config.is_packed = shape_.is_packed;
    config.has_event_idx = shape_.has_event_idx;
    config.has_indirect = true;
    config.is_in_order = shape_.is_in_order;
    config.base = base.value_or(ring.initial_base());
    const Status started = queue->ring.start(config, &memory_, log_);
    ASSERT_TRUE(started.is_ok()) << started.error().line();
    queue->is_enabled = true;
    if (!queue->kick.is_open()) queue->kick = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!queue->call.is_open()) queue->call = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  }

  // A frame of the host's: vnet header of zeros, then `text`.
  bool host_sends(const std::string& text) {
    const std::string frame = std::string(shape_.header_bytes, '\0') + text;
    return send(host_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  // The next frame that the guest has sent, without its header; "" if none.
  std::string host_gets() {
    std::string frame(70000, '\0');
    const ssize_t bytes = recv(host_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
    return bytes < static_cast<ssize_t>(shape_.header_bytes)
               ? ""
               : frame.substr(shape_.header_bytes, static_cast<size_t>(bytes) - shape_.header_bytes);
  }

  void post(unsigned count, uint32_t bytes, const front::Shape& shape = {}) {
    for (unsigned i = 0; i < count; ++i) ASSERT_TRUE(driver_->post(bytes, shape).value());
    driver_->rx().publish();
  }
  // The next frame that the guest has got; "" if none.
  std::string guest_gets(bool repost = false) {
    front::ReceivedFrame frame;
    const auto received = driver_->receive(&frame, repost);
    EXPECT_TRUE(received.is_ok()) << received.error().line();
    if (!received.is_ok() || !received.value()) return "";
    last_buffer_count_ = frame.buffer_count;
    if (repost) driver_->rx().publish();
    return frame.bytes;
  }
  bool guest_sends(const std::string& text, const front::Shape& shape = {}) {
    return driver_->send("", text, shape).value();
  }

  // Both rings kept to the rules, as their driver saw it.
  void expect_sound() const {
    EXPECT_EQ(driver_->rx().fault(), "");
    EXPECT_EQ(driver_->tx().fault(), "");
  }

  PairShape shape_;
  std::unique_ptr<front::GuestMemoryFile> file_;
  GuestMemory memory_;
  DirtyLog* log_ = nullptr;
  std::unique_ptr<front::NetDriver> driver_;
  Fd tap_;
  Fd host_;
  unsigned last_buffer_count_ = 0;
};

// Text that shows where each of its bytes belongs.
inline std::string frame_text(unsigned number, size_t bytes) {
  std::string text = "frame " + std::to_string(number) + ":";
  for (size_t i = text.size(); i < bytes; ++i) text += static_cast<char>('a' + (i / 7 + number) % 26);
  text.resize(bytes);
  return text;
}

struct EngineCase {
  const char* name;
  PairShape shape;
  EngineKind engine;
};

// A pair of queues with an engine that moves their frames.
class EngineTest : public testing::TestWithParam<EngineCase> {
 protected:
  EngineTest() : pair_(GetParam().shape) {}

  void SetUp() override {
    control_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    std::string reason;
    auto engine =
        make_engine({.kind = GetParam().engine, .tap_fd = pair_.tap_.get(), .control_fd = control_.get()}, &reason);
    if (!engine.is_ok() && engine.error().code() == EPERM) GTEST_SKIP() << "kernel: " << engine.error().line();
    engine_ = std::move(engine).value();
  }

  PairCase pair_;
  DeviceQueue queue_;
  Fd control_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace tapferry
