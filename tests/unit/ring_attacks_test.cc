// SPDX-License-Identifier: MIT
//
// What guests have done to other back-ends' rings, each by its name, split and packed; and a guest that changes what it wrote
// while it is being read.
#include <atomic>
#include <thread>

#include "tests/unit/ring_case.h"
#include "vhost/guest_access.h"

namespace tapferry {
namespace {

using Rule = RingFault::Rule;

class RingAttacks : public testing::TestWithParam<bool> {
 protected:
  RingAttacks() : ring({.driver = {.size = 8, .is_packed = GetParam(), .indirect_entries = 8}}) {}
  bool is_packed() const { return GetParam(); }

  // Available as the ring's first chain, as it is: flags without those that make it so.
  RingDescriptor descriptor(uint64_t address, uint32_t length, unsigned flags) const {
    if (!is_packed()) return split_descriptor(address, length, flags);
    return packed_descriptor(address, length, flags | 1U << VRING_PACKED_DESC_F_AVAIL);
  }
  void make_available(const RingDescriptor& first) {
    *ring.descriptor(0) = first;
    if (!is_packed()) ring.field16(ring.driver->addresses().avail)[1] = 1;  // avail->ring[0] is 0
  }
  Rule rule_of(const RingDescriptor& first) {
    make_available(first);
    EXPECT_EQ(ring.take(), Take::kBroken);
    return ring.queue.fault().rule;
  }
  // Every piece is in one of the mapped regions.
  void check_pieces() const {
    for (int i = 0; i < ring.chain.readable_pieces + ring.chain.writable_pieces; i++) {
      const uint64_t gpa = ring.memory.gpa_of(ring.pieces[i].iov_base);
      ASSERT_NE(gpa, UINT64_MAX);
      ASSERT_EQ(ring.memory.at_gpa(gpa, ring.pieces[i].iov_len), ring.pieces[i].iov_base);
    }
  }
  // Runs take() and give_back() while another thread stores `a` and `b` to *field in turns.
  template <typename T, typename Check>
  void take_while_flipping(T* field, T a, T b, Check check) {
    guest_store(field, a);
    std::atomic<bool> is_over = false;
    std::thread guest([&] {
      for (unsigned i = 0; !is_over.load(std::memory_order_relaxed); i++) guest_store(field, i % 2 == 0 ? a : b);
    });
    for (int i = 0; i < 20000; i++) {
      const Take take = ring.take();
      check(take);
      if (take == Take::kTaken) {
        check_pieces();
        ring.queue.give_back(ring.chain);
      } else if (take == Take::kBroken) {
        VirtqueueConfig config = ring.config();
        ring.queue.stop();
        ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
      }
    }
    is_over = true;
    guest.join();
  }

  RingCase ring;
};
INSTANTIATE_TEST_SUITE_P(Rings, RingAttacks, testing::Bool(),
                         [](const auto& info) { return info.param ? "Packed" : "Split"; });

TEST_P(RingAttacks, Cve2018_1059_ABufferOfWhichOnlyTheBeginIsMapped) {
  EXPECT_EQ(rule_of(descriptor(kGapGpa - 1, 2, 0)), Rule::kNotInMemory);
}

TEST_P(RingAttacks, Cve2018_1059_ABufferThatReachesOverAHole) {
  EXPECT_EQ(rule_of(descriptor(kMiddleGpa, static_cast<uint32_t>(kHighGpa - kMiddleGpa) + 16, 0)), Rule::kNotInMemory);
}

TEST_P(RingAttacks, Cve2020_10725_AnAddressThatIsTranslatedToNothingIsNotUsed) {
  EXPECT_EQ(rule_of(descriptor(UINT64_MAX - 15, 16, VRING_DESC_F_WRITE)), Rule::kNotInMemory);
}

TEST_P(RingAttacks, Cve2019_3900_AChainThatNeverEnds) {
  for (unsigned i = 0; i < 8; i++) *ring.descriptor(i) = descriptor(kHighGpa, 1, VRING_DESC_F_NEXT);
  // Split: next is 0, the chain's own begin. Packed: all the ring is one chain that goes on.
  EXPECT_EQ(rule_of(descriptor(kHighGpa, 1, VRING_DESC_F_NEXT)), Rule::kChainTooLong);
}

TEST_P(RingAttacks, AZeroLengthDescriptor) { EXPECT_EQ(rule_of(descriptor(kHighGpa, 0, 0)), Rule::kEmptyDescriptor); }

TEST_P(RingAttacks, AChainOfZeroLengthDescriptors) {
  for (unsigned i = 0; i < 8; i++) *ring.descriptor(i) = descriptor(kHighGpa, 0, VRING_DESC_F_NEXT);
  EXPECT_EQ(rule_of(descriptor(kHighGpa, 0, VRING_DESC_F_NEXT)), Rule::kEmptyDescriptor);
}

// The ring doesn't judge: a receive buffer of one byte is the receiver's to refuse.
TEST_P(RingAttacks, ARuntReceiveDescriptorIsAChainOfItsOwnLength) {
  make_available(descriptor(kHighGpa, 1, VRING_DESC_F_WRITE));
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.chain.writable_bytes, 1U);
  EXPECT_EQ(ring.chain.readable_bytes, 0U);
}

TEST_P(RingAttacks, AnIndirectTableThatEndsOutsideOfMemory) {
  EXPECT_EQ(rule_of(descriptor(kGapGpa - 16, 32, VRING_DESC_F_INDIRECT)), Rule::kIndirectNotInMemory);
}

TEST_P(RingAttacks, AnIndirectTableAcrossRegions) {
  const uint64_t table = kMiddleGpa - 16;
  const bool is_split = !is_packed();
  *reinterpret_cast<RingDescriptor*>(ring.guest->at(table)) =
      is_split ? split_descriptor(kHighGpa, 10, VRING_DESC_F_NEXT, 1) : packed_descriptor(kHighGpa, 10);
  *reinterpret_cast<RingDescriptor*>(ring.guest->at(table + 16)) = split_descriptor(kHighGpa + 64, 20);
  make_available(descriptor(table, 32, VRING_DESC_F_INDIRECT));
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.chain.readable_pieces, 2);
  EXPECT_EQ(ring.chain.readable_bytes, 30U);
  check_pieces();
}

TEST_P(RingAttacks, DoubleFetchOfALength) {
  make_available(descriptor(kGapGpa - 16, 16, 0));
  auto* const length = reinterpret_cast<uint32_t*>(&ring.descriptor(0)->rest);
  take_while_flipping<uint32_t>(length, 16, 0x10000, [&](Take take) {
    // Either is found as it was read: as a buffer, or as one that isn't in memory.
    if (take == Take::kTaken) {
      ASSERT_EQ(ring.chain.readable_bytes, 16U);
      ASSERT_EQ(ring.pieces[0].iov_len, 16U);
    } else {
      ASSERT_EQ(ring.queue.fault().rule, Rule::kNotInMemory);
      ASSERT_EQ(ring.queue.fault().value, 0x10000U);
    }
  });
}

TEST_P(RingAttacks, DoubleFetchOfAnAddress) {
  make_available(descriptor(kHighGpa, 16, 0));
  take_while_flipping<uint64_t>(&ring.descriptor(0)->address, kHighGpa, kGapGpa, [&](Take take) {
    ASSERT_TRUE(take == Take::kTaken || ring.queue.fault().rule == Rule::kNotInMemory);
  });
}

TEST_P(RingAttacks, DoubleFetchOfFlags) {
  ring.descriptor(1)[0] = descriptor(kHighGpa + 64, 8, VRING_DESC_F_WRITE);
  make_available(descriptor(kHighGpa, 16, 0));
  if (!is_packed()) ring.descriptor(0)->rest |= uint64_t{1} << 48;  // next
  auto* const flags = reinterpret_cast<uint16_t*>(&ring.descriptor(0)->rest) + (is_packed() ? 3 : 2);
  const uint16_t alone = *flags;
  const auto with_next = static_cast<uint16_t>(alone | VRING_DESC_F_NEXT);
  take_while_flipping<uint16_t>(flags, alone, with_next, [&](Take take) {
    ASSERT_EQ(take, Take::kTaken);
    ASSERT_EQ(ring.chain.readable_pieces, 1);
    ASSERT_EQ(ring.chain.writable_bytes, ring.chain.writable_pieces == 1 ? 8U : 0U);
    ASSERT_EQ(ring.chain.slots, ring.chain.writable_pieces + 1);
  });
  take_while_flipping<uint16_t>(flags, alone, static_cast<uint16_t>(alone | VRING_DESC_F_WRITE), [&](Take take) {
    ASSERT_EQ(take, Take::kTaken);
    ASSERT_EQ(ring.chain.readable_pieces + ring.chain.writable_pieces, 1);
    ASSERT_EQ(ring.chain.readable_bytes, 16U * ring.chain.readable_pieces);
  });
}

TEST_P(RingAttacks, DoubleFetchOfNext) {
  if (is_packed()) return;  // it has none
  *ring.descriptor(5) = split_descriptor(kHighGpa, 8);
  make_available(split_descriptor(kHighGpa, 16, VRING_DESC_F_NEXT, 5));
  auto* const next = reinterpret_cast<uint16_t*>(&ring.descriptor(0)->rest) + 3;
  take_while_flipping<uint16_t>(next, 5, 9999, [&](Take take) {
    if (take == Take::kTaken) {
      ASSERT_EQ(ring.chain.readable_bytes, 24U);
    } else {
      ASSERT_EQ(ring.queue.fault().rule, Rule::kNextOutOfRange);
      ASSERT_EQ(ring.queue.fault().value, 9999U);
    }
  });
}

TEST_P(RingAttacks, DoubleFetchOfAnIndirectLength) {
  // A table of one at the end of a region; 65535 of them if the length is read again.
  const uint64_t table = kGapGpa - 16;
  *reinterpret_cast<RingDescriptor*>(ring.guest->at(table)) = split_descriptor(kHighGpa, 10);
  make_available(descriptor(table, 16, VRING_DESC_F_INDIRECT));
  auto* const length = reinterpret_cast<uint32_t*>(&ring.descriptor(0)->rest);
  take_while_flipping<uint32_t>(length, 16, 16 * 65535, [&](Take take) {
    ASSERT_TRUE(take == Take::kTaken || ring.queue.fault().rule == Rule::kIndirectSize);
  });
  take_while_flipping<uint32_t>(length, 16, 32, [&](Take take) {
    ASSERT_TRUE(take == Take::kTaken || ring.queue.fault().rule == Rule::kIndirectNotInMemory);
  });
}

TEST_P(RingAttacks, DoubleFetchInsideAnIndirectTable) {
  const uint64_t table = kHighGpa + 0x1000;
  auto* const entry = reinterpret_cast<RingDescriptor*>(ring.guest->at(table));
  *entry = split_descriptor(kHighGpa, 10);
  make_available(descriptor(table, 16, VRING_DESC_F_INDIRECT));
  take_while_flipping<uint64_t>(&entry->address, kHighGpa, kGapGpa, [&](Take take) {
    ASSERT_TRUE(take == Take::kTaken || ring.queue.fault().rule == Rule::kNotInMemory);
  });
  entry->address = kHighGpa;
  auto* const length = reinterpret_cast<uint32_t*>(&entry->rest);
  take_while_flipping<uint32_t>(length, 0, 0x10000, [&](Take take) {
    ASSERT_TRUE(take == Take::kTaken ? ring.chain.readable_bytes == 0x10000
                                     : ring.queue.fault().rule == Rule::kEmptyDescriptor);
  });
}

TEST_P(RingAttacks, ABatchIsSeenAsAWhole) {
  constexpr unsigned kBatch = 5;
  std::atomic<int> rounds = 0;
  std::atomic<bool> has_seen_part = false;
  // Watches for the first of a batch to be used, and then wants all of them.
  std::thread guest([&] {
    for (int round = 1; round <= 3000; round++) {
      for (unsigned i = 0; i < kBatch; i++) ring.offer_one(true);
      ring.driver->publish();
      rounds.store(round, std::memory_order_release);
      while (ring.fetch() < 0) std::this_thread::yield();
      for (unsigned i = 1; i < kBatch; i++) {
        if (ring.fetch() >= 0) continue;
        has_seen_part = true;
        while (ring.fetch() < 0) std::this_thread::yield();
      }
    }
  });
  for (int round = 1; round <= 3000; round++) {
    while (rounds.load(std::memory_order_acquire) != round) std::this_thread::yield();
    while (ring.take() == Take::kTaken) ring.queue.push_used(ring.chain, 1);
    ring.queue.publish();
  }
  guest.join();
  EXPECT_FALSE(has_seen_part.load());
}

// The driver's two sides of the handshakes at once with ours: nobody waits for an event that doesn't come.
TEST_P(RingAttacks, NoWakeUpIsLostBetweenTwoThreads) {
  constexpr uint64_t kFrames = 20000;
  std::atomic<uint64_t> kicks = 0;
  std::atomic<uint64_t> calls = 0;
  std::atomic<bool> has_failed = false;
  // Sleeping is waiting for the other one's counter to change; who waits in vain for long has lost a wake-up.
  const auto sleep_until_changed = [&](const std::atomic<uint64_t>& counter, uint64_t seen) {
    for (uint64_t spins = 0; counter.load(std::memory_order_acquire) == seen; spins++) {
      if (has_failed.load() || spins > 100'000'000) {
        has_failed = true;
        return;
      }
      if (spins > 100) std::this_thread::yield();
    }
  };
  std::thread guest([&] {
    uint64_t fetched = 0;
    while (fetched < kFrames && !has_failed.load()) {
      const uint64_t seen = calls.load(std::memory_order_acquire);
      while (ring.offer_one(true)) {
      }
      ring.cookie--;
      if (ring.driver->publish()) kicks.fetch_add(1, std::memory_order_release);
      uint64_t before = fetched;
      while (ring.fetch() >= 0) fetched++;
      if (fetched == before && !ring.driver->ask_for_calls(true)) sleep_until_changed(calls, seen);
    }
  });
  uint64_t used = 0;
  while (used < kFrames && !has_failed.load()) {
    const uint64_t seen = kicks.load(std::memory_order_acquire);
    uint64_t burst = 0;
    for (; burst < 5 && ring.take() == Take::kTaken; burst++) ring.queue.push_used(ring.chain, 1);
    used += burst;
    if (ring.queue.publish()) calls.fetch_add(1, std::memory_order_release);
    if (burst == 0 && !ring.queue.arm_kicks()) sleep_until_changed(kicks, seen);
  }
  // The guest's last wait.
  calls.fetch_add(1, std::memory_order_release);
  guest.join();
  EXPECT_FALSE(has_failed.load());
  EXPECT_EQ(ring.driver->fault(), "");
  EXPECT_FALSE(ring.queue.is_broken());
}

}  // namespace
}  // namespace tapferry
