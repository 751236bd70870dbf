// SPDX-License-Identifier: MIT
//
// What split and packed rings have in common, by a driver that follows the rules.
#include "vhost/virtqueue.h"

#include <string>
#include <tuple>

#include "tests/unit/ring_case.h"

namespace tapferry {
namespace {

// Packed, EVENT_IDX, IN_ORDER.
class Virtqueues : public testing::TestWithParam<std::tuple<bool, bool, bool>> {
 protected:
  Virtqueues() : ring(options()) {}
  static RingCaseOptions options(unsigned size = 8) {
    const auto [is_packed, has_event_idx, is_in_order] = GetParam();
    return {.driver = {.size = size,
                       .is_packed = is_packed,
                       .has_event_idx = has_event_idx,
                       .is_in_order = is_in_order,
                       .indirect_entries = 16}};
  }
  bool is_packed() const { return std::get<0>(GetParam()); }
  bool has_event_idx() const { return std::get<1>(GetParam()); }

  RingCase ring;
};
std::string name(const testing::TestParamInfo<Virtqueues::ParamType>& info) {
  const auto [is_packed, has_event_idx, is_in_order] = info.param;
  return std::string(is_packed ? "Packed" : "Split") + (has_event_idx ? "EventIdx" : "") +
         (is_in_order ? "InOrder" : "");
}
INSTANTIATE_TEST_SUITE_P(Rings, Virtqueues, testing::Combine(testing::Bool(), testing::Bool(), testing::Bool()), name);

TEST_P(Virtqueues, AnEmptyRingHasNothingToTake) {
  EXPECT_EQ(ring.take(), Take::kEmpty);
  EXPECT_FALSE(ring.queue.publish());
}

TEST_P(Virtqueues, WhatIsNotPublishedByTheDriverIsNotTaken) {
  ASSERT_TRUE(ring.offer_one());
  EXPECT_EQ(ring.take(), Take::kEmpty);
  ring.driver->publish();
  EXPECT_EQ(ring.take(), Take::kTaken);
}

TEST_P(Virtqueues, AChainsPiecesAreTheDriversBuffers) {
  ASSERT_TRUE(ring.offer({{kLowGpa + kLowBytes - 8, 4, false}, {kHighGpa, 100, false}, {kHighGpa + 512, 1514, true}}));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.chain.readable_pieces, 2);
  EXPECT_EQ(ring.chain.writable_pieces, 1);
  EXPECT_EQ(ring.chain.readable_bytes, 104U);
  EXPECT_EQ(ring.chain.writable_bytes, 1514U);
  EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kLowGpa + kLowBytes - 8));
  EXPECT_EQ(ring.pieces[1].iov_base, ring.host(kHighGpa));
  EXPECT_EQ(ring.pieces[2].iov_base, ring.host(kHighGpa + 512));
  EXPECT_EQ(ring.pieces[2].iov_len, 1514U);
  EXPECT_EQ(ring.chain.slots, 3);
}

TEST_P(Virtqueues, AnIndirectChainIsTheSameAndTakesOneSlot) {
  ASSERT_TRUE(ring.offer({{kHighGpa, 12, false}, {kHighGpa + 64, 60, false}, {kHighGpa + 512, 8, true}}, true));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.chain.readable_pieces, 2);
  EXPECT_EQ(ring.chain.writable_pieces, 1);
  EXPECT_EQ(ring.pieces[1].iov_base, ring.host(kHighGpa + 64));
  EXPECT_EQ(ring.pieces[1].iov_len, 60U);
  EXPECT_EQ(ring.chain.slots, 1);
}

TEST_P(Virtqueues, ABufferOverNeighbouringRegionsIsTwoPieces) {
  ASSERT_TRUE(ring.offer({{kMiddleGpa - 10, 30, true}}));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.chain.writable_pieces, 2);
  EXPECT_EQ(ring.chain.writable_bytes, 30U);
  EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kMiddleGpa - 10));
  EXPECT_EQ(ring.pieces[0].iov_len, 10U);
  EXPECT_EQ(ring.pieces[1].iov_base, ring.host(kMiddleGpa));
  EXPECT_EQ(ring.pieces[1].iov_len, 20U);
}

TEST_P(Virtqueues, GoAroundInOrderForManyLaps) {
  uint64_t offered = 0;
  uint64_t returned = 0;
  for (int round = 0; round < 200; round++) {
    while (ring.offer(std::vector<front::Buffer>(1 + offered % 3, {kHighGpa, 32, true}), offered % 5 == 4)) offered++;
    ring.driver->publish();
    while (ring.take() == Take::kTaken) ring.queue.push_used(ring.chain, 1 + static_cast<uint32_t>(round % 32));
    ring.queue.publish();
    for (int64_t cookie = ring.fetch(); cookie >= 0; cookie = ring.fetch()) {
      returned++;
      EXPECT_EQ(ring.written, 1 + static_cast<uint32_t>(round % 32));
    }
  }
  EXPECT_EQ(offered, returned);
  EXPECT_GT(offered, 700U);
  EXPECT_EQ(ring.driver->fault(), "");
  EXPECT_EQ(describe(ring.queue.fault(), 0), "queue 0, descriptor 0: nothing is wrong");
}

TEST_P(Virtqueues, ReadOnlyChainsOfSeveralDescriptorsGoAroundToo) {
  uint64_t offered = 0;
  uint64_t returned = 0;
  for (int round = 0; round < 100; round++) {
    while (ring.offer(std::vector<front::Buffer>(1 + offered % 3, {kHighGpa, 32, false}), offered % 5 == 4)) offered++;
    ring.driver->publish();
    // Not all that is there, so that batches begin and end anywhere.
    for (int i = 0; i < 1 + round % 4 && ring.take() == Take::kTaken; i++) ring.queue.push_used(ring.chain, 0);
    ring.queue.publish();
    while (ring.fetch() >= 0) returned++;
  }
  EXPECT_GT(returned, 200U);
  EXPECT_LE(offered - returned, 8U);
  EXPECT_EQ(ring.driver->fault(), "");
}

TEST_P(Virtqueues, TheDriverSeesNothingBeforePublish) {
  for (int i = 0; i < 4; i++) ASSERT_TRUE(ring.offer_one(true));
  ring.driver->publish();
  for (int i = 0; i < 4; i++) {
    ASSERT_EQ(ring.take(), Take::kTaken);
    ring.queue.push_used(ring.chain, 64);
    EXPECT_EQ(ring.fetch(), -1);
  }
  ring.queue.publish();
  for (int i = 0; i < 4; i++) EXPECT_EQ(ring.fetch(), i);
}

TEST_P(Virtqueues, WhatIsGivenBackIsTakenAgain) {
  for (int i = 0; i < 3; i++) ASSERT_TRUE(ring.offer({{kHighGpa + 64U * i, 64, true}}));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  ASSERT_EQ(ring.take(), Take::kTaken);
  ring.queue.give_back(ring.chain);
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kHighGpa + 64));
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kHighGpa + 128));
  EXPECT_EQ(ring.take(), Take::kEmpty);
}

TEST_P(Virtqueues, AChainThatHasNoRoomStaysAvailable) {
  ASSERT_TRUE(ring.offer({{kHighGpa, 1, false}, {kHighGpa, 2, false}, {kHighGpa, 3, false}}));
  ring.driver->publish();
  EXPECT_EQ(ring.take(2), Take::kNoRoom);
  EXPECT_FALSE(ring.queue.is_broken());
  EXPECT_EQ(ring.take(0), Take::kNoRoom);
  EXPECT_EQ(ring.take(3), Take::kTaken);
}

TEST_P(Virtqueues, StoppedWithChainsInFlightTheyAreTakenAgain) {
  for (int i = 0; i < 5; i++) ASSERT_TRUE(ring.offer({{kHighGpa + 64U * i, 64, true}}));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  const Chain first = ring.chain;
  ASSERT_EQ(ring.take(), Take::kTaken);
  ASSERT_EQ(ring.take(), Take::kTaken);
  ring.queue.push_used(first, 64);
  VirtqueueConfig config = ring.config();
  config.base = ring.queue.stop();
  EXPECT_FALSE(ring.queue.is_started());
  EXPECT_EQ(ring.fetch(), 0) << "what was pushed is published";

  ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
  for (int i = 1; i < 5; i++) {
    ASSERT_EQ(ring.take(), Take::kTaken);
    EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kHighGpa + 64U * i));
    ring.queue.push_used(ring.chain, 64);
  }
  ring.queue.publish();
  for (int i = 1; i < 5; i++) EXPECT_EQ(ring.fetch(), i);
  EXPECT_EQ(ring.driver->fault(), "");
}

TEST_P(Virtqueues, AStopAnywhereInTheLapGivesABaseToGoOnFrom) {
  VirtqueueConfig config = ring.config();
  for (int i = 0; i < 50; i++) {
    ASSERT_TRUE(ring.offer_one(true));
    ring.driver->publish();
    ASSERT_EQ(ring.take(), Take::kTaken);
    ring.queue.push_used(ring.chain, 7);
    EXPECT_TRUE(ring.queue.publish() || !has_event_idx()) << "the first time, in any case";
    EXPECT_EQ(ring.fetch(), i);
    config.base = ring.queue.stop();
    EXPECT_EQ(config.base, ring.queue.base());
    ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
  }
}

TEST_P(Virtqueues, RelocatedItGoesOnInMemoryThatIsMappedElsewhere) {
  for (int i = 0; i < 3; i++) ASSERT_TRUE(ring.offer_one(true));
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  ring.queue.push_used(ring.chain, 1);
  ring.queue.publish();
  ring.share_memory();
  ASSERT_TRUE(ring.queue.relocate(&ring.memory, nullptr).is_ok());
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_EQ(ring.pieces[0].iov_base, ring.host(kHighGpa + 64));
  ring.queue.push_used(ring.chain, 1);
  ring.queue.publish();
  EXPECT_EQ(ring.fetch(), 0);
  EXPECT_EQ(ring.fetch(), 1);
}

TEST_P(Virtqueues, AreStoppedWhenTheirMemoryIsGone) {
  ASSERT_TRUE(ring.offer_one());
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  ring.queue.push_used(ring.chain, 0);
  ring.queue.publish();
  const uint32_t base = ring.queue.base();
  ring.memory.clear();
  const Status found = ring.queue.relocate(&ring.memory, nullptr);
  ASSERT_FALSE(found.is_ok());
  EXPECT_EQ(found.error().reason(), "it isn't wholly in guest memory");
  EXPECT_FALSE(ring.queue.is_started());
  EXPECT_EQ(ring.take(), Take::kEmpty);
  EXPECT_FALSE(ring.queue.arm_kicks());
  EXPECT_EQ(ring.queue.stop(), base);
}

TEST_P(Virtqueues, ArmedKicksAreWhatTheDriverIsAskedFor) {
  EXPECT_FALSE(ring.queue.arm_kicks());
  ASSERT_TRUE(ring.offer_one());
  EXPECT_TRUE(ring.driver->publish()) << "armed";
  ring.queue.disarm_kicks();
  ASSERT_TRUE(ring.offer_one());
  EXPECT_FALSE(ring.driver->publish()) << "disarmed";
  EXPECT_TRUE(ring.queue.arm_kicks()) << "something is there";
  ASSERT_EQ(ring.take(), Take::kTaken);
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_FALSE(ring.queue.arm_kicks());
  ASSERT_TRUE(ring.offer_one());
  EXPECT_TRUE(ring.driver->publish()) << "armed again";
}

TEST_P(Virtqueues, AreArmedInEveryPlaceOfTheRing) {
  for (int i = 0; i < 40; i++) {
    ASSERT_FALSE(ring.queue.arm_kicks());
    ASSERT_TRUE(ring.offer_one());
    EXPECT_TRUE(ring.driver->publish());
    ASSERT_TRUE(ring.queue.arm_kicks());
    ASSERT_EQ(ring.take(), Take::kTaken);
    ring.queue.disarm_kicks();
    ring.queue.push_used(ring.chain, 0);
    ring.queue.publish();
    ASSERT_GE(ring.fetch(), 0);
  }
}

TEST_P(Virtqueues, NotifyWhenTheDriverWaitsAndNotWhenItDoesNot) {
  for (int i = 0; i < 40; i++) {
    ring.driver->ask_for_calls(true);
    for (int k = 0; k < 1 + i % 7; k++) ASSERT_TRUE(ring.offer_one(true));
    ring.driver->publish();
    while (ring.take() == Take::kTaken) ring.queue.push_used(ring.chain, 1);
    EXPECT_TRUE(ring.queue.publish()) << i;
    EXPECT_FALSE(ring.queue.publish()) << "nothing new";
    while (ring.fetch() >= 0) {
    }
    ring.driver->ask_for_calls(false);
    ASSERT_TRUE(ring.offer_one(true));
    ring.driver->publish();
    ASSERT_EQ(ring.take(), Take::kTaken);
    ring.queue.push_used(ring.chain, 1);
    EXPECT_FALSE(ring.queue.publish()) << i;
    ASSERT_GE(ring.fetch(), 0);
  }
}

TEST_P(Virtqueues, WithABrokenRuleTheyStayBrokenUntilTheyAreStartedAgain) {
  ASSERT_TRUE(ring.offer({{kGapGpa, 16, false}}));
  ring.driver->publish();
  EXPECT_EQ(ring.take(), Take::kBroken);
  EXPECT_TRUE(ring.queue.is_broken());
  EXPECT_EQ(describe(ring.queue.fault(), 3), "queue 3, descriptor 0: 16 bytes at 0xa0000 aren't in guest memory");
  *ring.descriptor(0) = {kHighGpa, ring.descriptor(0)->rest};
  EXPECT_EQ(ring.take(), Take::kBroken);
  VirtqueueConfig config = ring.config();
  config.base = ring.queue.stop();
  ASSERT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok());
  EXPECT_FALSE(ring.queue.is_broken());
  EXPECT_EQ(ring.take(), Take::kTaken);
}

TEST_P(Virtqueues, RefuseRingsThatCannotBe) {
  const auto reason = [&](auto change) {
    VirtqueueConfig config = ring.config();
    change(config);
    Virtqueue queue;
    const Status started = queue.start(config, &ring.memory, nullptr);
    EXPECT_EQ(queue.is_started(), started.is_ok());
    return started.is_ok() ? "" : started.error().reason();
  };
  EXPECT_NE(reason([](VirtqueueConfig& c) { c.size = 0; }), "");
  EXPECT_NE(reason([](VirtqueueConfig& c) { c.size = kMaxQueueSize + 1; }), "");
  EXPECT_EQ(reason([](VirtqueueConfig& c) { c.desc_uva += 8; }), "its address isn't a multiple of 16");
  EXPECT_NE(reason([](VirtqueueConfig& c) { c.avail_uva += 1; }), "");
  EXPECT_EQ(reason([](VirtqueueConfig& c) { c.used_uva += 2; }), "its address isn't a multiple of 4");
  EXPECT_EQ(reason([](VirtqueueConfig& c) { c.desc_uva = 0; }), "it isn't wholly in guest memory");
  EXPECT_NE(reason([](VirtqueueConfig& c) { c.desc_uva = UINT64_MAX - 15; }), "");
  // Only its begin is mapped.
  EXPECT_NE(reason([&](VirtqueueConfig& c) { c.desc_uva = ring.guest->uva_of(kGapGpa - 64); }), "");
  EXPECT_NE(reason([&](VirtqueueConfig& c) { c.used_uva = ring.guest->uva_of(kGapGpa); }), "");
  if (is_packed()) {
    EXPECT_NE(reason([](VirtqueueConfig& c) { c.base = 8; }), "");
    EXPECT_EQ(reason([](VirtqueueConfig& c) { c.base = 7; }), "");
    EXPECT_EQ(reason([](VirtqueueConfig& c) { c.size = 7; }), "") << "no power of two is asked of a packed ring";
  } else {
    EXPECT_NE(reason([](VirtqueueConfig& c) { c.size = 7; }), "");
  }
}

TEST_P(Virtqueues, LogWhatTheyWriteOfTheUsedRing) {
  Fd file(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), 4096), 0);
  const int keep = dup(file.get());
  DirtyLog log;
  ASSERT_TRUE(log.set(4096, 0, std::move(file)).is_ok());
  VirtqueueConfig config = ring.config();
  config.logs_used = true;
  // A split ring's index is the last of one page then, and its first element begins the next.
  if (!is_packed()) config.used_gpa = 3 * 4096 - 4;
  ring.queue.stop();
  ASSERT_TRUE(ring.queue.start(config, &ring.memory, &log).is_ok());

  const uint64_t written_gpa = is_packed() ? ring.driver->addresses().desc : config.used_gpa + 4;
  const auto is_marked = [&](uint64_t gpa) {
    uint8_t bits = 0;
    EXPECT_EQ(pread(keep, &bits, 1, static_cast<off_t>(gpa / 4096 / 8)), 1);
    return (bits >> (gpa / 4096 % 8) & 1) != 0;
  };
  ASSERT_TRUE(ring.offer_one());
  ring.driver->publish();
  ASSERT_EQ(ring.take(), Take::kTaken);
  EXPECT_FALSE(is_marked(written_gpa));
  ring.queue.push_used(ring.chain, 0);
  EXPECT_TRUE(is_marked(written_gpa) || is_packed());
  EXPECT_TRUE(is_packed() || !is_marked(config.used_gpa));
  ring.queue.publish();
  EXPECT_TRUE(is_marked(written_gpa));
  EXPECT_TRUE(is_packed() || is_marked(config.used_gpa));
  EXPECT_EQ(log.pages_outside(), 0U);

  // So is what kicks are asked for with.
  ring.queue.arm_kicks();
  EXPECT_TRUE(is_marked(is_packed() ? ring.driver->addresses().used : written_gpa));
  ASSERT_TRUE(ring.queue.relocate(&ring.memory, nullptr).is_ok()) << "logging ends";
  ring.queue.arm_kicks();
  close(keep);
}

}  // namespace
}  // namespace tapferry
