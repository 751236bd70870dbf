// SPDX-License-Identifier: MIT
//
// The guest of a benchmark: a front-end without a VM (tests/lib/front) whose buffers lie one behind the other and are used in that
// order, over and over, as those of vhost_floor are. It looks at its rings all the time and asks for no signals but where it says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/bench/arguments.h"
#include "tests/bench/frame_file.h"
#include "tests/lib/front/feature_bits.h"
#include "tests/lib/front/guest.h"

namespace tapferry::bench {

struct LoadShape {
  unsigned pairs = 1;
  unsigned ring_size = 1024;
  unsigned buffer_bytes = 4096;
  unsigned buffers = 1024;  // of each send queue; those of a receive queue are as many as the ring takes
  bool has_own_header = false;
  uint64_t features = 0;
};

inline uint64_t features_of(const std::string& names) {
  uint64_t features = 0;
  for (const std::string_view name : split(names, ',')) {
    const auto* found = std::find_if(front::kFeatureNames.begin(), front::kFeatureNames.end(),
                                     [&](const front::FeatureName& known) { return known.name == name; });
    if (found == front::kFeatureNames.end()) Arguments::fail(std::string(name), "no such feature");
    features |= uint64_t{1} << found->bit;
  }
  return features;
}

template <typename T>
T need(Result<T> result) {
  if (!result.is_ok()) Arguments::fail("front-end", result.error().line());
  return std::move(result).value();
}
inline void need(const Status& status) {
  if (!status.is_ok()) Arguments::fail("front-end", status.error().line());
}

// A send queue: the frames are in the buffers from the beginning.
class SendQueue {
 public:
  SendQueue(front::Guest* guest, unsigned vring, const LoadShape& shape, const std::vector<Frame>& frames)
      : guest_(guest), vring_(vring), shape_(shape), ring_(&guest->ring(vring)) {
    gpa_ = need(guest->memory().allocate(uint64_t{shape.buffers} * shape.buffer_bytes, 4096));
    for (unsigned i = 0; i < shape.buffers; ++i) {
      const std::string& bytes = frames[i % frames.size()].bytes;
      if (bytes.size() > shape.buffer_bytes) Arguments::fail("--buffer-bytes", "less than a frame");
      memcpy(guest->memory().at(gpa_ + uint64_t{i} * shape.buffer_bytes), bytes.data(), bytes.size());
      lengths_.push_back(static_cast<uint32_t>(bytes.size()));
    }
    ring_->ask_for_calls(false);
  }

  void reap() {
    for (front::Used used; ring_->next_used(&used);) ++done_;
  }
  uint64_t in_flight() const { return sent_ - done_; }
  uint64_t done() const { return done_; }

  // Shows `count` frames at once; false when there is no room for them.
  bool send(unsigned count) {
    const unsigned slots = shape_.has_own_header ? 2 * count : count;
    if (ring_->free_slots() < slots || in_flight() + count > shape_.buffers) return false;
    for (unsigned i = 0; i < count; ++i) add_one();
    if (ring_->publish()) guest_->kick(vring_);
    return true;
  }

 private:
  void add_one() {
    const uint64_t gpa = gpa_ + uint64_t{next_} * shape_.buffer_bytes;
    const uint32_t length = lengths_[next_];
    if (shape_.has_own_header) {
      const front::Buffer parts[] = {{gpa, kHeaderBytes, false}, {gpa + kHeaderBytes, length - kHeaderBytes, false}};
      ring_->add(parts, false, next_);
    } else {
      const front::Buffer whole = {gpa, length, false};
      ring_->add({&whole, 1}, false, next_);
    }
    if (++next_ == shape_.buffers) next_ = 0;
    ++sent_;
  }

  front::Guest* guest_;
  unsigned vring_;
  LoadShape shape_;
  front::DriverRing* ring_;
  uint64_t gpa_ = 0;
  std::vector<uint32_t> lengths_;
  unsigned next_ = 0;
  uint64_t sent_ = 0, done_ = 0;
};

// A receive queue: a buffer that came back is posted again. What is in it isn't looked at.
class ReceiveQueue {
 public:
  ReceiveQueue(front::Guest* guest, unsigned vring, const LoadShape& shape)
      : guest_(guest), vring_(vring), bytes_(shape.buffer_bytes), ring_(&guest->ring(vring)) {
    gpa_ = need(guest->memory().allocate(uint64_t{shape.ring_size} * bytes_, 4096));
    memset(guest->memory().at(gpa_), 0, size_t{shape.ring_size} * bytes_);
    for (unsigned i = 0; i < shape.ring_size; ++i) post(i);
    if (ring_->publish()) guest->kick(vring);
    ring_->ask_for_calls(false);
  }

  // At most `limit` buffers; how many came back.
  unsigned take(unsigned limit) {
    unsigned count = 0;
    for (front::Used used; count < limit && ring_->next_used(&used); ++count) post(static_cast<unsigned>(used.cookie));
    if (count == 0) return 0;
    buffers_ += count;
    if (ring_->publish()) guest_->kick(vring_);
    return count;
  }
  uint64_t buffers() const { return buffers_; }

  // Sleeps until something is there.
  void wait(int timeout_ms) {
    if (!ring_->ask_for_calls(true)) guest_->wait_call(vring_, timeout_ms);
    ring_->ask_for_calls(false);
  }

 private:
  void post(unsigned index) {
    const front::Buffer whole = {gpa_ + uint64_t{index} * bytes_, bytes_, true};
    ring_->add({&whole, 1}, false, index);
  }

  front::Guest* guest_;
  unsigned vring_;
  uint32_t bytes_;
  front::DriverRing* ring_;
  uint64_t gpa_ = 0;
  uint64_t buffers_ = 0;
};

class LoadGuest {
 public:
  LoadGuest(const std::string& socket, const LoadShape& shape, const std::vector<Frame>& frames) {
    constexpr uint64_t kRoom = uint64_t{16} << 20;
    constexpr int kConnectMs = 10000;
    const uint64_t buffers = uint64_t{shape.buffers} + shape.ring_size;
    const uint64_t memory = shape.pairs * (buffers * shape.buffer_bytes + kRoom);
    guest_ = need(front::Guest::make());
    need(guest_->memory().add(0, (memory + kRoom) & ~(kRoom - 1)));
    guest_->connect(need(front::VhostClient::connect_to(socket, kConnectMs)));
    front::GuestOptions options;
    options.features = shape.features;
    options.protocol = front::kProtocolMq | front::kProtocolReplyAck;
    options.pairs = shape.pairs;
    options.ring_size = shape.ring_size;
    need(guest_->start(options));
    if (const uint64_t missing = shape.features & ~guest_->features(); missing != 0) {
      fprintf(stderr, "bench: the backend lacks features %#llx\n", static_cast<unsigned long long>(missing));
    }
    for (unsigned pair = 0; pair < shape.pairs; ++pair) {
      receive_.emplace_back(guest_.get(), 2 * pair, shape);
      if (!frames.empty()) send_.emplace_back(guest_.get(), 2 * pair + 1, shape, frames);
    }
  }

  std::vector<SendQueue>& send_queues() { return send_; }
  std::vector<ReceiveQueue>& receive_queues() { return receive_; }

 private:
  std::unique_ptr<front::Guest> guest_;
  std::vector<SendQueue> send_;
  std::vector<ReceiveQueue> receive_;
};

}  // namespace tapferry::bench
