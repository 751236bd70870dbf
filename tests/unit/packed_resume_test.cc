// SPDX-License-Identifier: MIT
//
// Where packed rings go on: the rule by itself, and with a device whose back-end or front-end has vanished.
#include "vhost/packed_resume.h"

#include <cerrno>
#include <vector>

#include "tests/unit/session_case.h"

namespace tapferry {
namespace {

constexpr uint16_t kAvail = 1 << 7;
constexpr uint16_t kUsed = 1 << 15;
constexpr uint64_t kRingUva = 0x1000;

std::vector<PackedSlot> ring_of(std::initializer_list<unsigned> flags) {
  std::vector<PackedSlot> ring;
  for (const unsigned each : flags) ring.push_back({0, 0, 0, static_cast<uint16_t>(each)});
  return ring;
}

RingRecord running(uint32_t begin, uint32_t size) {
  RingRecord record;
  record.desc_uva = kRingUva;
  record.size = size;
  record.begin = begin;
  record.running = RingRecord::kRunning;
  return record;
}

const std::vector<PackedSlot> kEmpty = ring_of({0, 0, 0, 0});
const std::vector<PackedSlot> kJustFilled = ring_of({kAvail, kAvail, 0, 0});
const std::vector<PackedSlot> kInUse = ring_of({kAvail | kUsed, kAvail | kUsed, kAvail, 0});

TEST(PackedResumeTest, RingIsFreshUntilADeviceHasUsedIt) {
  EXPECT_TRUE(is_fresh(kEmpty));
  EXPECT_TRUE(is_fresh(kJustFilled));
  EXPECT_TRUE(is_fresh(ring_of({kAvail, kAvail, kAvail, kAvail})));
  EXPECT_FALSE(is_fresh(kInUse));
  EXPECT_FALSE(is_fresh(ring_of({kAvail | kUsed, 0, 0, 0})));
  EXPECT_FALSE(is_fresh(ring_of({kUsed, kAvail | kUsed, 0, 0}))) << "available again, in the second round";
  EXPECT_FALSE(is_fresh(ring_of({0, 0, 0, kAvail}))) << "used in the second round but for the last";
}

TEST(PackedResumeTest, BaseIsItsLowerHalf) {
  EXPECT_EQ(packed_base(0x8000), kInitialPackedBase);
  EXPECT_EQ(packed_base(0x12348005), 0x80058005u);
}

TEST(PackedResumeTest, ResumesARingThatWasRunningAndIsInUse) {
  const auto how = packed_start(kInitialPackedBase, kRingUva, kInUse, running(kInitialPackedBase, 4));
  ASSERT_TRUE(how.is_ok());
  EXPECT_EQ(how.value(), PackedStart::kResume);
}

TEST(PackedResumeTest, BeginsAnewWhereTheDriverHas) {
  for (const auto& ring : {kEmpty, kJustFilled}) {
    const auto how = packed_start(kInitialPackedBase, kRingUva, ring, running(kInitialPackedBase, 4));
    ASSERT_TRUE(how.is_ok());
    EXPECT_EQ(how.value(), PackedStart::kAsGiven);
  }
}

TEST(PackedResumeTest, RecordOfAnotherRingDoesNotCount) {
  const RingRecord right = running(kInitialPackedBase, 4);
  RingRecord stopped = right;
  stopped.running = 0;
  RingRecord elsewhere = right;
  elsewhere.desc_uva = 0x2000;
  RingRecord longer = right;
  longer.size = 8;
  RingRecord begun_elsewhere = right;
  begun_elsewhere.begin = packed_base(0x8003);
  for (const RingRecord& record : {stopped, elsewhere, longer, begun_elsewhere, RingRecord()}) {
    const auto how = packed_start(kInitialPackedBase, kRingUva, kInUse, record);
    ASSERT_FALSE(how.is_ok());
    EXPECT_EQ(how.error().code(), ESTALE);
    EXPECT_NE(how.error().line().find("nobody knows how far"), std::string::npos);
  }
}

TEST(PackedResumeTest, FrontEndThatKnowsTheBaseIsBelieved) {
  const auto how = packed_start(packed_base(0x8002), kRingUva, kInUse, RingRecord());
  ASSERT_TRUE(how.is_ok());
  EXPECT_EQ(how.value(), PackedStart::kAsGiven);
}

TEST(PackedResumeTest, BaseThatWasPassedAlreadyIsRefused) {
  const auto how = packed_start(packed_base(0x8001), kRingUva, kInUse, RingRecord());
  ASSERT_FALSE(how.is_ok());
  EXPECT_NE(how.error().line().find("used beyond the base"), std::string::npos);
}

TEST(PackedResumeTest, BaseOutsideOfTheRingIsRefused) {
  EXPECT_FALSE(packed_start(packed_base(0x8004), kRingUva, kEmpty, RingRecord()).is_ok());
  EXPECT_FALSE(packed_start(packed_base(0x7fff), kRingUva, kEmpty, RingRecord()).is_ok());
}

// ---- With a device ----------------------------------------------------------------------------

constexpr uint64_t kPackedFeatures =
    bit(Feature::kVersion1) | bit(Feature::kRingPacked) | bit(Feature::kProtocolFeatures);

class PackedSessionTest : public SessionTest {
 protected:
  // What a driver makes available: one byte to read in each.
  void offer(unsigned begin, unsigned count) {
    for (unsigned i = begin; i < begin + count; ++i) {
      packed_slots(1)[i] = {kGpa + 0x80000, 64, static_cast<uint16_t>(i), kAvail};
    }
  }
  // What a worker does with one chain.
  void use_one() {
    Chain chain;
    iovec pieces[4];
    Virtqueue& virtqueue = queue(1).ring;
    ASSERT_EQ(virtqueue.take(&chain, pieces, 4), Take::kTaken);
    virtqueue.push_used(chain, 0);
    virtqueue.publish();
  }
  uint16_t flags(unsigned slot) { return packed_slots(1)[slot].flags; }
};

TEST_F(PackedSessionTest, FrontEndThatComesBackFindsTheRingWhereItWas) {
  negotiate(kPackedFeatures);
  offer(0, 5);
  start(1, 0x8000);
  use_one();
  use_one();
  // It vanishes, without asking for the base, and starts the ring as it did.
  device_->forget_front_end();
  connect(nullptr);
  negotiate(kPackedFeatures);
  start(1, 0x8000);
  use_one();
  EXPECT_EQ(flags(2), kAvail | kUsed);
  EXPECT_EQ(flags(3), kAvail);
  EXPECT_EQ(stopped_at(1) & 0xffff, 0x8003u);
}

TEST_F(PackedSessionTest, SuccessorFindsTheRingByTheStateFile) {
  const Fd state(memfd_create("state", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(state.get(), 64 << 10), 0);
  connect(make_device(state.get()));
  negotiate(kPackedFeatures);
  offer(0, 5);
  start(1, 0x8000);
  use_one();
  // Another process maps the same file.
  connect(make_device(state.get()));
  negotiate(kPackedFeatures);
  start(1, 0x8000);
  use_one();
  EXPECT_EQ(flags(1), kAvail | kUsed);
  EXPECT_EQ(flags(2), kAvail);
}

TEST_F(PackedSessionTest, SuccessorWithoutAStateLeavesTheRingAlone) {
  negotiate(kPackedFeatures);
  offer(0, 5);
  start(1, 0x8000);
  use_one();
  connect(make_device(-1));
  negotiate(kPackedFeatures);
  start(1, 0x8000);
  EXPECT_FALSE(device_->is_started(1));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_NE(said_[0].find("start ring 1: it was in use"), std::string::npos) << said_[0];
  // The guest resets its device, and sets the ring up again.
  for (unsigned i = 0; i < 256; ++i) packed_slots(1)[i] = {};
  start(1, 0x8000);
  EXPECT_TRUE(device_->is_started(1));
}

TEST_F(PackedSessionTest, RingThatWasStoppedInOrderGoesOnWhereItsBaseSays) {
  negotiate(kPackedFeatures);
  offer(0, 5);
  start(1, 0x8000);
  use_one();
  const uint32_t base = stopped_at(1);
  EXPECT_EQ(base & 0xffff, 0x8001u);
  start(1, base);
  use_one();
  EXPECT_EQ(flags(1), kAvail | kUsed);
}

TEST_F(PackedSessionTest, GuestThatHasResetItsDeviceMeanwhileBeginsAnew) {
  negotiate(kPackedFeatures);
  offer(0, 5);
  start(1, 0x8000);
  use_one();
  device_->forget_front_end();
  for (unsigned i = 0; i < 256; ++i) packed_slots(1)[i] = {};
  offer(0, 2);
  connect(nullptr);
  negotiate(kPackedFeatures);
  start(1, 0x8000);
  use_one();
  EXPECT_EQ(flags(0), kAvail | kUsed);
}

TEST(StateFileTest, MustBeLongEnough) {
  const Fd state(memfd_create("state", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(state.get(), 100), 0);
  const auto opened = StateFile::open(state.get(), 2);
  ASSERT_FALSE(opened.is_ok());
  EXPECT_NE(opened.error().line().find("bytes or more"), std::string::npos);
  ASSERT_EQ(ftruncate(state.get(), 64 << 10), 0);
  EXPECT_TRUE(StateFile::open(state.get(), 128).is_ok()) << "64 queue pairs fit into 64 KiB";
}

TEST(StateFileTest, MustBeAFile) {
  const Fd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(StateFile::open(event.get(), 2).is_ok());
}

TEST(StateFileTest, NewOneSaysOfNoRingThatItRuns) {
  EXPECT_NE(StateFile::open(-1, 2).value().ring(1).running, RingRecord::kRunning);
}

}  // namespace
}  // namespace tapferry
