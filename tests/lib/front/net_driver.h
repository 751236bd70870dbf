// SPDX-License-Identifier: MIT
//
// A guest's network driver for one pair of virtqueues: frames out with their header in any shape, buffers posted in any
// shape, frames in.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tests/lib/front/driver_ring.h"

namespace tapferry::front {

// How header and frame lie in descriptors.
struct Shape {
  bool has_own_header = false;  // the header has a descriptor to itself
  bool is_indirect = false;
  std::vector<uint32_t> pieces;  // sizes of the first descriptors; the rest is one more
};

struct ReceivedFrame {
  std::string header;
  std::string bytes;
  unsigned buffer_count = 0;
};

class NetDriver {
 public:
  // `header_bytes`: 12, or 10 without VERSION_1 and MRG_RXBUF. The memory must outlive the driver.
  static Result<std::unique_ptr<NetDriver>> make(const RingOptions& options, unsigned header_bytes, bool is_mergeable,
                                                 GuestMemoryFile* memory);

  DriverRing& rx() { return *rx_; }
  DriverRing& tx() { return *tx_; }

  // Neither shows what it did: the ring's publish() does. False: no room in the ring.
  Result<bool> post(uint32_t bytes, const Shape& shape);
  // `header` shorter than the header is followed by zeros.
  Result<bool> send(std::string_view header, std::string_view frame, const Shape& shape);

  // Takes back what the device has sent; how many frames.
  unsigned reap_sent();
  // One frame whose buffers have all come back, and posts as many like them if asked. False: none yet. An error: what came
  // contradicts itself (more buffers than a frame can need, lengths that don't fit).
  Result<bool> receive(ReceivedFrame* frame, bool repost);

 private:
  struct Slot {
    std::vector<Buffer> chain;
    Shape shape;
    uint64_t gpa = 0;
    uint32_t bytes = 0;
  };
  struct Arrived {
    uint32_t slot;
    uint32_t written;
  };

  explicit NetDriver(GuestMemoryFile* memory) : memory_(memory) {}
  uint32_t take_slot(std::vector<Slot>* slots, std::vector<uint32_t>* free);
  std::vector<Buffer> lay_out(uint64_t gpa, uint32_t bytes, const Shape& shape, bool is_writable) const;
  std::string read_slot(const Slot& slot, uint32_t written) const;

  GuestMemoryFile* memory_;
  unsigned header_bytes_ = 12;
  bool is_mergeable_ = false;
  std::unique_ptr<DriverRing> rx_, tx_;
  std::vector<Slot> rx_slots_, tx_slots_;
  std::vector<uint32_t> rx_free_, tx_free_;
  std::deque<Arrived> arrived_;
};

}  // namespace tapferry::front
