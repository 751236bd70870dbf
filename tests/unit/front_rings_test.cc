// SPDX-License-Identifier: MIT
//
// Both sides of a virtqueue against each other: the tests' driver (tests/lib/front) and the device (vhost/virtqueue.h), over many
// rounds of the ring, in bursts and chains of all lengths.
#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>

#include "tests/lib/front/driver_ring.h"
#include "vhost/memory_guard.h"
#include "vhost/virtqueue.h"

namespace tapferry {
namespace {

constexpr uint64_t kMemory = 4 << 20;
constexpr uint64_t kBuffers = 2 << 20;  // where the rings don't reach

struct Kind {
  const char* name;
  bool is_packed, has_event_idx, is_in_order;
  unsigned size;
};

class FrontRings : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(install_memory_guard().is_ok());
    auto made = front::GuestMemoryFile::make();
    ASSERT_TRUE(made.is_ok());
    guest_ = std::move(made).value();
    ASSERT_TRUE(guest_->add(0, kMemory).is_ok());
    RegionSpec region;
    region.size = kMemory;
    region.uva = guest_->uva_of(0);
    ASSERT_TRUE(memory_.add(region, Fd(fcntl(guest_->regions()[0].file.get(), F_DUPFD_CLOEXEC, 0))).is_ok());
    front::RingOptions options;
    options.size = GetParam().size;
    options.is_packed = GetParam().is_packed;
    options.has_event_idx = GetParam().has_event_idx;
    options.is_in_order = GetParam().is_in_order;
    auto ring = front::make_driver_ring(options, guest_.get());
    ASSERT_TRUE(ring.is_ok());
    driver_ = std::move(ring).value();
    config_.size = options.size;
    config_.is_packed = options.is_packed;
    config_.has_event_idx = options.has_event_idx;
    config_.is_in_order = options.is_in_order;
    config_.has_indirect = true;
    config_.base = driver_->initial_base();
    config_.desc_uva = guest_->uva_of(driver_->addresses().desc);
    config_.avail_uva = guest_->uva_of(driver_->addresses().avail);
    config_.used_uva = guest_->uva_of(driver_->addresses().used);
    ASSERT_TRUE(device_.start(config_, &memory_, nullptr).is_ok());
  }

  // The n-th chain: one to five buffers of lengths that only it has, sometimes in an indirect table.
  bool add(uint64_t n) {
    std::vector<front::Buffer> chain;
    for (uint64_t i = 0; i <= n % 5; ++i) {
      chain.push_back({kBuffers + n % 1000 * 64 + i, static_cast<uint32_t>(n % 97 + i + 1), is_writable_});
    }
    return driver_->add(chain, n % 3 == 0, n);
  }

  void expect_chain(const Chain& chain, uint64_t n) {
    const unsigned count = is_writable_ ? chain.writable_pieces : chain.readable_pieces;
    ASSERT_EQ(count, n % 5 + 1);
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_EQ(chain.pieces[i].iov_len, n % 97 + i + 1);
      EXPECT_EQ(memory_.gpa_of(chain.pieces[i].iov_base), kBuffers + n % 1000 * 64 + i);
    }
  }

  // The device takes `burst` chains at most and uses them; `wants_call` is what publish() said, if there were any.
  unsigned serve(unsigned burst, bool* wants_call) {
    std::vector<Chain> taken;
    Chain chain;
    while (taken.size() < burst && device_.take(&chain, pieces_.data(), pieces_.size()) == Take::kTaken) {
      expect_chain(chain, served_ + taken.size());
      taken.push_back(chain);
    }
    for (const Chain& one : taken)
      device_.push_used(one, is_writable_ ? static_cast<uint32_t>(served_++ % 50) : (++served_, 0u));
    if (!taken.empty()) *wants_call = device_.publish();
    return static_cast<unsigned>(taken.size());
  }

  unsigned fetch() {
    unsigned count = 0;
    for (front::Used used; driver_->next_used(&used); ++count) {
      EXPECT_EQ(used.cookie, fetched_);
      EXPECT_EQ(used.written, is_writable_ ? fetched_ % 50 : 0);
      ++fetched_;
    }
    return count;
  }

  std::unique_ptr<front::GuestMemoryFile> guest_;
  GuestMemory memory_;
  std::unique_ptr<front::DriverRing> driver_;
  VirtqueueConfig config_;
  Virtqueue device_;
  std::array<iovec, kMaxChainPieces> pieces_;
  bool is_writable_ = true;
  uint64_t added_ = 0, served_ = 0, fetched_ = 0;
};

TEST_P(FrontRings, HandEachChainOverOnceAndInOrder) {
  for (const bool is_writable : {true, false}) {
    while (driver_->outstanding() > 0) {
      bool wants_call = false;
      serve(64, &wants_call);
      fetch();
    }
    is_writable_ = is_writable;
    for (unsigned round = 0; round < 2000; ++round) {
      bool wants_call = false;
      for (unsigned i = 0; i < round % 23 && add(added_); ++i) ++added_;
      driver_->publish();
      serve(round % 17, &wants_call);
      fetch();
      ASSERT_EQ(driver_->fault(), "");
      ASSERT_FALSE(device_.is_broken()) << describe(device_.fault(), 0);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(fetched_, 1000u);
}

TEST_P(FrontRings, NoKickAndNoCallIsMissed) {
  for (unsigned round = 0; round < 1000; ++round) {
    // The device sleeps: what comes next must be kicked.
    ASSERT_FALSE(device_.arm_kicks());
    ASSERT_TRUE(add(added_));
    ++added_;
    ASSERT_TRUE(driver_->publish()) << "round " << round;
    // The driver sleeps: what is used next must be signalled.
    ASSERT_FALSE(driver_->ask_for_calls(true));
    bool wants_call = false;
    ASSERT_EQ(serve(64, &wants_call), 1u);
    ASSERT_TRUE(wants_call) << "round " << round;
    ASSERT_EQ(fetch(), 1u);
  }
}

TEST_P(FrontRings, GoOnWhereTheyWereStopped) {
  for (unsigned round = 0; round < 300; ++round) {
    for (unsigned i = 0; i < round % 7 && add(added_); ++i) ++added_;
    driver_->publish();
    bool wants_call = false;
    serve(round % 5, &wants_call);
    config_.base = device_.stop();
    ASSERT_TRUE(device_.start(config_, &memory_, nullptr).is_ok());
    fetch();
    ASSERT_EQ(driver_->fault(), "");
    ASSERT_FALSE(device_.is_broken()) << describe(device_.fault(), 0);
  }
  EXPECT_GT(fetched_, 100u);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FrontRings,
    testing::Values(Kind{"Split", false, true, false, 64}, Kind{"SplitInOrder", false, true, true, 64},
                    Kind{"SplitFlags", false, false, false, 64}, Kind{"Packed", true, true, false, 64},
                    Kind{"PackedOdd", true, true, false, 61}, Kind{"PackedInOrder", true, true, true, 64},
                    Kind{"PackedFlags", true, false, false, 64}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace tapferry
