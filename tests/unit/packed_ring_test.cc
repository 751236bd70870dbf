// SPDX-License-Identifier: MIT
//
// What is a packed ring's own: wrap counters, batches, event suppression, and going on after a kill.
#include "tests/unit/ring_case.h"

namespace tapferry {
namespace {

constexpr unsigned kAvail = 1U << VRING_PACKED_DESC_F_AVAIL;
constexpr unsigned kUsed = 1U << VRING_PACKED_DESC_F_USED;

unsigned flags_of(const RingDescriptor& descriptor) { return static_cast<unsigned>(descriptor.rest >> 48); }
unsigned id_of(const RingDescriptor& descriptor) { return static_cast<uint16_t>(descriptor.rest >> 32); }

class PackedRings : public testing::Test {
 protected:
  explicit PackedRings(bool is_in_order = false)
      : ring({.driver = {.size = 8, .is_packed = true, .is_in_order = is_in_order, .indirect_entries = 4}}) {}
  void offer(int count, bool is_writable) {
    for (int i = 0; i < count; i++) ASSERT_TRUE(ring.offer_one(is_writable));
    ring.driver->publish();
  }
  void use(int count, uint32_t written) {
    for (int i = 0; i < count; i++) {
      ASSERT_EQ(ring.take(), Take::kTaken);
      ring.queue.push_used(ring.chain, written);
    }
  }
  // Driver event suppression: where, and ENABLE, DISABLE or DESC.
  void want(unsigned index, bool wrap, unsigned flags) {
    ring.field16(ring.driver->addresses().avail)[0] = static_cast<uint16_t>(index | unsigned{wrap} << 15);
    ring.field16(ring.driver->addresses().avail)[1] = static_cast<uint16_t>(flags);
  }
  void restart(VirtqueueConfig config) { ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok()); }

  RingCase ring;
};

class PackedInOrder : public PackedRings {
 protected:
  PackedInOrder() : PackedRings(true) {}
};

TEST_F(PackedRings, TheBaseSaysIndexAndWrapCounterOfBothSides) {
  EXPECT_EQ(ring.queue.base(), 0x80008000U);
  offer(5, true);
  use(3, 1);
  EXPECT_EQ(ring.queue.base(), 0x80038003U);
  ring.queue.publish();
  while (ring.fetch() >= 0) {
  }
  offer(3, true);
  use(5, 1);
  EXPECT_EQ(ring.queue.base(), 0U) << "after one lap the counters are 0";
  EXPECT_EQ(ring.queue.stop(), 0U);
}

TEST_F(PackedRings, OnlyTheLowerHalfOfABaseCounts) {
  VirtqueueConfig config = ring.config();
  config.base = 0x8000;  // as DPDK's front-end gives it
  restart(config);
  EXPECT_EQ(ring.queue.base(), 0x80008000U);
  offer(1, true);
  EXPECT_EQ(ring.take(), Take::kTaken);
}

TEST_F(PackedRings, UsedDescriptorsSayWhetherSomethingWasWritten) {
  offer(2, true);
  use(1, 64);
  use(1, 0);
  ring.queue.publish();
  EXPECT_EQ(flags_of(*ring.descriptor(0)), kAvail | kUsed | VRING_DESC_F_WRITE);
  EXPECT_EQ(flags_of(*ring.descriptor(1)), kAvail | kUsed);
  EXPECT_EQ(static_cast<uint32_t>(ring.descriptor(0)->rest), 64U);
}

TEST_F(PackedRings, ARingThatIsTakenInFullOffersNothingTwice) {
  offer(8, true);
  for (int i = 0; i < 8; i++) ASSERT_EQ(ring.take(), Take::kTaken);
  // A hostile driver makes the first one available for the next lap, without having got it back.
  *ring.descriptor(0) = packed_descriptor(kHighGpa, 1, kUsed);
  EXPECT_EQ(ring.take(), Take::kEmpty);
  EXPECT_FALSE(ring.queue.arm_kicks());
}

TEST_F(PackedRings, AChainIsNoLongerThanWhatIsNotInFlight) {
  offer(3, true);
  ASSERT_EQ(ring.take(), Take::kTaken);
  for (unsigned i = 1; i < 8; i++) *ring.descriptor(i) = packed_descriptor(kHighGpa, 1, kAvail | VRING_DESC_F_NEXT);
  EXPECT_EQ(ring.take(), Take::kBroken);
  EXPECT_EQ(describe(ring.queue.fault(), 0), "queue 0, descriptor 1: its chain doesn't end within 7 descriptors");
}

TEST_F(PackedRings, BatchesLargerThanTheyAreKeptForAreWrittenInParts) {
  RingCase large({.driver = {.size = 256, .is_packed = true, .indirect_entries = 1}});
  for (int lap = 0; lap < 3; lap++) {
    while (large.offer_one(true)) {
    }
    large.driver->publish();
    unsigned taken = 0;
    for (; large.take() == Take::kTaken; taken++) large.queue.push_used(large.chain, 1);
    EXPECT_EQ(taken, 256U);
    EXPECT_TRUE(large.queue.publish() || lap > 0);
    unsigned fetched = 0;
    while (large.fetch() >= 0) fetched++;
    EXPECT_EQ(fetched, 256U);
  }
  EXPECT_EQ(large.driver->fault(), "");
}

TEST_F(PackedRings, NotifyOnlyForThePlaceThatTheDriverWaitsFor) {
  const auto one = [&] {
    offer(1, true);
    use(1, 1);
    const bool wants = ring.queue.publish();
    EXPECT_GE(ring.fetch(), 0);
    return wants;
  };
  want(7, false, VRING_PACKED_EVENT_FLAG_DESC);
  EXPECT_TRUE(one()) << "the first after a start";
  want(3, true, VRING_PACKED_EVENT_FLAG_DESC);
  EXPECT_FALSE(one()) << "1";
  EXPECT_FALSE(one()) << "2";
  EXPECT_TRUE(one()) << "3";
  EXPECT_FALSE(one()) << "4";
  want(0, false, VRING_PACKED_EVENT_FLAG_DESC);
  for (int i = 5; i < 8; i++) EXPECT_FALSE(one()) << i;
  EXPECT_TRUE(one()) << "0 of the next lap";
  // Over the end of the ring, in one batch: 1 to 7 and 0.
  want(7, false, VRING_PACKED_EVENT_FLAG_DESC);
  offer(8, true);
  use(8, 1);
  EXPECT_TRUE(ring.queue.publish()) << "in the middle of a whole lap";
  while (ring.fetch() >= 0) {
  }
  want(0, false, VRING_PACKED_EVENT_FLAG_DESC);
  offer(8, true);
  use(8, 1);
  EXPECT_TRUE(ring.queue.publish());
  while (ring.fetch() >= 0) {
  }
  want(0, true, VRING_PACKED_EVENT_FLAG_DISABLE);
  EXPECT_FALSE(one());
  want(0, true, VRING_PACKED_EVENT_FLAG_ENABLE);
  EXPECT_TRUE(one());
  EXPECT_EQ(ring.driver->fault(), "");
}

TEST_F(PackedInOrder, ReadOnlyNeighboursShareOneUsedDescriptor) {
  offer(6, false);
  use(5, 0);
  ring.queue.publish();
  EXPECT_EQ(flags_of(*ring.descriptor(0)), kAvail | kUsed);
  EXPECT_EQ(id_of(*ring.descriptor(0)), 4U) << "the last one's";
  for (unsigned i = 1; i < 6; i++) EXPECT_EQ(flags_of(*ring.descriptor(i)), kAvail) << "untouched";
  for (int i = 0; i < 5; i++) EXPECT_EQ(ring.fetch(), i);
  EXPECT_EQ(ring.fetch(), -1);
  use(1, 0);
  ring.queue.publish();
  EXPECT_EQ(flags_of(*ring.descriptor(5)), kAvail | kUsed) << "the next batch begins behind the first";
  EXPECT_EQ(ring.fetch(), 5);
}

TEST_F(PackedInOrder, ChainsToWriteToEachHaveTheirOwn) {
  offer(2, true);
  offer(2, false);
  use(4, 0);
  ring.queue.publish();
  for (const unsigned i : {0U, 1U, 2U}) EXPECT_EQ(flags_of(*ring.descriptor(i)), kAvail | kUsed) << i;
  EXPECT_EQ(id_of(*ring.descriptor(2)), 3U);
  EXPECT_EQ(flags_of(*ring.descriptor(3)), kAvail);
}

TEST_F(PackedRings, ASavedStateThatCannotBeIsRefused) {
  RingProgress progress;
  VirtqueueConfig config = ring.config();
  config.progress = &progress;
  config.resumes = true;
  const auto starts = [&] { return ring.queue.start(config, &ring.memory, nullptr).is_ok(); };
  progress.store(0x80088008, 0);
  EXPECT_FALSE(starts());
  progress.store(0x80008000, RingProgress::kMaxElements + 1);
  EXPECT_FALSE(starts());
  progress.store(0x80008000, UINT32_MAX);
  EXPECT_FALSE(starts());
  progress.elements[1].slots = 9;
  progress.store(0x80008000, 2);
  EXPECT_FALSE(starts());
  progress.elements[1].slots = 3;
  progress.store(0x80008000, 2);
  EXPECT_TRUE(starts());
}

}  // namespace
}  // namespace tapferry
