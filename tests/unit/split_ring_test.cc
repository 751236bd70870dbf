// SPDX-License-Identifier: MIT
//
// What is a split ring's own: its indexes, and both ways of asking for events.
#include "tests/unit/ring_case.h"

namespace tapferry {
namespace {

class SplitRings : public testing::TestWithParam<bool> {
 protected:
  SplitRings() : ring({.driver = {.size = 8, .has_event_idx = GetParam(), .indirect_entries = 4}}) {}
  bool has_event_idx() const { return GetParam(); }
  const front::RingAddresses& at() const { return ring.driver->addresses(); }
  uint16_t* avail(unsigned field) { return ring.field16(at().avail) + field; }  // flags, idx, ring..., used_event
  uint16_t* used(unsigned field) { return ring.field16(at().used) + field; }    // flags, idx, ...
  // Takes, pushes and publishes one that the driver offers here; whether it wants to be notified.
  bool one() {
    EXPECT_TRUE(ring.offer_one(true));
    ring.driver->publish();
    EXPECT_EQ(ring.take(), Take::kTaken);
    ring.queue.push_used(ring.chain, 1);
    const bool wants = ring.queue.publish();
    EXPECT_GE(ring.fetch(), 0);
    return wants;
  }
  void start_at(uint16_t index) {
    ring.queue.stop();
    VirtqueueConfig config = ring.config();
    config.base = index;
    *avail(1) = index;
    *used(1) = index;
    ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
  }

  RingCase ring;
};
INSTANTIATE_TEST_SUITE_P(Rings, SplitRings, testing::Bool(),
                         [](const auto& info) { return info.param ? "EventIdx" : "Flags"; });

TEST_P(SplitRings, TheBaseIsTheNextIndexToTake) {
  for (unsigned i = 0; i < 3; i++) one();
  EXPECT_EQ(ring.queue.base(), 3U);
  ASSERT_TRUE(ring.offer_one());
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.queue.base(), 3U) << "taken, not used";
  EXPECT_EQ(ring.queue.stop(), 3U);
}

TEST_P(SplitRings, IndexesGoOverTheir16Bits) {
  start_at(65533);
  for (unsigned i = 0; i < 6; i++) {
    *avail(2 + (65533 + i) % 8) = 0;
    *ring.descriptor(0) = split_descriptor(kHighGpa, 10);
    *avail(1) = static_cast<uint16_t>(65533 + i + 1);
    ASSERT_EQ(ring.take(), Take::kTaken);
    ring.queue.push_used(ring.chain, 0);
    ring.queue.publish();
    EXPECT_EQ(*used(1), static_cast<uint16_t>(65533 + i + 1));
  }
  EXPECT_EQ(ring.queue.stop(), 3U);
}

TEST_P(SplitRings, TheUsedRingGoesOnWhereItsIndexSays) {
  for (int i = 0; i < 3; i++) one();
  VirtqueueConfig config = ring.config();
  ring.queue.stop();
  config.base = 3;
  ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
  one();
  EXPECT_EQ(*used(1), 4);
  EXPECT_EQ(ring.driver->fault(), "");
}

// avail index jump larger than the ring
TEST_P(SplitRings, AnAvailableIndexTooFarAheadIsRefused) {
  *avail(1) = 9;
  EXPECT_EQ(ring.take(), Take::kBroken);
  EXPECT_EQ(describe(ring.queue.fault(), 1),
            "queue 1, available entry 0: 9 entries are available at once, more than the ring has left");
  start_at(0);
  *avail(1) = 65535;
  EXPECT_EQ(ring.take(), Take::kBroken) << "that is backwards";
}

TEST_P(SplitRings, WhatIsInFlightCannotBeAvailableAgain) {
  for (int i = 0; i < 8; i++) ASSERT_TRUE(ring.offer_one());
  ring.driver->publish();
  for (int i = 0; i < 5; i++) ASSERT_EQ(ring.take(), Take::kTaken);
  // The ring is full; the driver says that there are more.
  *avail(1) = 9;
  for (int i = 0; i < 3; i++) ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.take(), Take::kBroken);
  EXPECT_EQ(ring.queue.fault().rule, RingFault::Rule::kAvailJump);
}

TEST_P(SplitRings, AHeadThatIsNoDescriptorIsRefused) {
  for (const uint16_t head : {uint16_t{8}, uint16_t{65535}}) {
    start_at(0);
    *avail(2) = head;
    *avail(1) = 1;
    EXPECT_EQ(ring.take(), Take::kBroken);
    EXPECT_EQ(ring.queue.fault().rule, RingFault::Rule::kHeadOutOfRange);
    EXPECT_EQ(ring.queue.fault().value, head);
  }
}

TEST_P(SplitRings, NotifyOnlyForTheIndexThatTheDriverWaitsFor) {
  if (!has_event_idx()) {
    one();
    *avail(0) = VRING_AVAIL_F_NO_INTERRUPT;
    EXPECT_FALSE(one());
    *avail(0) = 0;
    EXPECT_TRUE(one());
    return;
  }
  *avail(0) = VRING_AVAIL_F_NO_INTERRUPT;  // says nothing with EVENT_IDX
  EXPECT_TRUE(one()) << "the first after a start, since who was there before may have missed one";
  *avail(2 + 8) = 3;
  EXPECT_FALSE(one()) << "1 -> 2";
  EXPECT_FALSE(one()) << "2 -> 3";
  EXPECT_TRUE(one()) << "3 -> 4";
  EXPECT_FALSE(one());
  // In the middle of a batch.
  *avail(2 + 8) = 6;
  for (int i = 0; i < 4; i++) ASSERT_TRUE(ring.offer_one(true));
  ring.driver->publish();
  while (ring.take() == Take::kTaken) ring.queue.push_used(ring.chain, 1);
  EXPECT_TRUE(ring.queue.publish()) << "5 -> 9";
}

TEST_P(SplitRings, KicksAreAskedForAtTheNextIndex) {
  for (int i = 0; i < 3; i++) one();
  ASSERT_FALSE(ring.queue.arm_kicks());
  if (has_event_idx()) {
    EXPECT_EQ(*used(2 + 4 * 8), 3);
    ring.queue.disarm_kicks();
    EXPECT_EQ(*used(0), 0) << "the flag says nothing with EVENT_IDX";
  } else {
    EXPECT_EQ(*used(0), 0);
    ring.queue.disarm_kicks();
    EXPECT_EQ(*used(0), VRING_USED_F_NO_NOTIFY);
    ASSERT_FALSE(ring.queue.arm_kicks());
    EXPECT_EQ(*used(0), 0);
  }
}

TEST_P(SplitRings, AFlagThatABackEndLeftBehindIsTakenBack) {
  *used(0) = VRING_USED_F_NO_NOTIFY;
  start_at(0);
  ring.queue.arm_kicks();
  EXPECT_TRUE(has_event_idx() || *used(0) == 0);
}

TEST_P(SplitRings, EventFieldsAreOutsideWhereTheyWereNotNegotiated) {
  // The available ring ends with its region, and has no used_event.
  VirtqueueConfig config = ring.config();
  config.avail_uva = ring.guest->uva_of(kGapGpa - (4 + 2 * 8));
  ring.queue.stop();
  EXPECT_EQ(ring.queue.start(config, &ring.memory, nullptr).is_ok(), !has_event_idx());
}

}  // namespace
}  // namespace tapferry
