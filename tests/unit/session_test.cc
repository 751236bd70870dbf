// SPDX-License-Identifier: MIT
//
// Requests and what they do to the device: negotiation, rings, memory, the log.
#include "tests/unit/session_case.h"

#include <fcntl.h>
#include <linux/if_tun.h>

namespace tapferry {
namespace {

TEST_F(SessionTest, TellsWhatItOffers) {
  EXPECT_EQ(asked(Request::kGetFeatures), offered_features(device_->abilities()));
  EXPECT_EQ(asked(Request::kGetProtocolFeatures), kOfferedProtocolFeatures);
  EXPECT_EQ(asked(Request::kGetQueueNum), kPairs);
  done(Request::kSetProtocolFeatures, u64(kProtocolConfigureMemSlots));
  EXPECT_EQ(asked(Request::kGetMaxMemSlots), GuestMemory::kMaxSlots);
}

TEST_F(SessionTest, PutsTheGuestsOffloadsOnTheTap) {
  done(Request::kSetFeatures,
       u64(bit(Feature::kVersion1) | bit(Feature::kGuestCsum) | bit(Feature::kGuestTso4) | bit(Feature::kMrgRxbuf)));
  EXPECT_EQ(tun_f_, unsigned{TUN_F_CSUM | TUN_F_TSO4});
  EXPECT_EQ(header_bytes_, 12u);
  EXPECT_TRUE(workers_[1]->rules().has_large_receive);
  EXPECT_TRUE(workers_[1]->rules().has_mergeable_buffers);
  EXPECT_EQ(workers_[0]->rules().header_bytes, 12u);
}

TEST_F(SessionTest, FeaturesThatWereNotOfferedEndIt) {
  EXPECT_EQ(ended(Request::kSetFeatures, u64(uint64_t{1} << 63)),
            "do SET_FEATURES: bits that were not offered: 0x8000000000000000");
}

TEST_F(SessionTest, ProtocolFeaturesThatWereNotOfferedEndIt) {
  EXPECT_NE(ended(Request::kSetProtocolFeatures, u64(1 << 8)).find("SET_PROTOCOL_FEATURES"), std::string::npos);
}

TEST_F(SessionTest, RingStartsWithItsKickAndStopsWhenAskedForItsBase) {
  negotiate();
  set_used_index(0, 7);
  set_up(0, 7);
  EXPECT_FALSE(queue(0).ring.is_started());
  kick(0);
  EXPECT_TRUE(queue(0).ring.is_started());
  EXPECT_FALSE(queue(1).ring.is_started());
  EXPECT_EQ(stopped_at(0), 7u);
  EXPECT_FALSE(queue(0).ring.is_started());
  EXPECT_FALSE(queue(0).kick.is_open());
}

TEST_F(SessionTest, RingIsSetUpInAnyOrder) {
  negotiate();
  done(Request::kSetVringAddr, addresses(3));
  done(Request::kSetVringBase, ring(3, 0));
  done(Request::kSetVringNum, ring(3, 256));
  kick(3);
  EXPECT_TRUE(queue(3).ring.is_started());
}

TEST_F(SessionTest, RingStartsAgainWhereItWasStopped) {
  negotiate();
  set_used_index(1, 100);
  start(1, 100);
  const uint32_t base = stopped_at(1);
  done(Request::kSetVringBase, ring(1, base));
  kick(1);
  EXPECT_EQ(stopped_at(1), 100u);
}

// DPDK's front-end gives 0 when it has lost its back-end.
TEST_F(SessionTest, SplitRingGoesOnWhereItWasUsedWhateverBaseIsGiven) {
  negotiate();
  set_used_index(1, 100);
  start(1, 0);
  EXPECT_EQ(stopped_at(1), 100u);
}

TEST_F(SessionTest, RingsAreEnabledOneByOneWithTheExtension) {
  negotiate();
  start(0);
  EXPECT_FALSE(queue(0).is_enabled);
  done(Request::kSetVringEnable, ring(0, 1));
  EXPECT_TRUE(queue(0).is_enabled);
  EXPECT_FALSE(queue(1).is_enabled);
  done(Request::kSetVringEnable, ring(0, 0));
  EXPECT_FALSE(queue(0).is_enabled);
  EXPECT_TRUE(queue(0).ring.is_started()) << "it is disabled, not stopped";
}

// QEMU enables before it sets features, when it starts a device for the second time.
TEST_F(SessionTest, RingStaysEnabledOverFeatures) {
  done(Request::kSetVringEnable, ring(2, 1));
  negotiate();
  EXPECT_TRUE(queue(2).is_enabled);
}

TEST_F(SessionTest, RingsAreAllEnabledWithoutTheExtension) {
  negotiate(bit(Feature::kVersion1));
  for (uint32_t index = 0; index < 2 * kPairs; ++index) EXPECT_TRUE(queue(index).is_enabled) << index;
}

TEST_F(SessionTest, KickWithoutSetUpEndsIt) {
  negotiate();
  const Fd fd(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(ended(Request::kSetVringKick, u64(0), {fd.get()}),
            "start ring 0: SET_VRING_NUM and SET_VRING_ADDR have not come yet");
}

TEST_F(SessionTest, RingThatIsAlignedInARegionThatIsNotIsRefused) {
  for (const uint64_t ring_features : {uint64_t{0}, bit(Feature::kRingPacked)}) {
    done(Request::kSetProtocolFeatures, u64(kOfferedProtocolFeatures));
    done(Request::kSetFeatures, u64(bit(Feature::kVersion1) | bit(Feature::kProtocolFeatures) | ring_features));
    done(Request::kSetMemTable, table(region(kGpa, kMemoryBytes - 0x1000, kUva, 3)), {memory_fd()});
    set_up(0);
    const Fd fd(eventfd(0, EFD_CLOEXEC));
    EXPECT_NE(ended(Request::kSetVringKick, u64(0), {fd.get()}).find("its address isn't a multiple of"),
              std::string::npos);
  }
}

TEST_F(SessionTest, KickWithoutADescriptorIsRefused) {
  negotiate();
  set_up(0);
  EXPECT_NE(ended(Request::kSetVringKick, u64(0x100)).find("polled"), std::string::npos);
  EXPECT_FALSE(queue(0).ring.is_started());
}

TEST_F(SessionTest, KickMustBeAnEventfdOrAPipe) {
  negotiate();
  set_up(0);
  EXPECT_NE(ended(Request::kSetVringKick, u64(0), {memory_fd()}).find("neither an eventfd nor a pipe"),
            std::string::npos);
}

TEST_F(SessionTest, DescriptorsOfRingsDoNotBlock) {
  negotiate();
  const Fd fd(eventfd(0, EFD_CLOEXEC));
  done(Request::kSetVringCall, u64(0), {fd.get()});
  EXPECT_NE(fcntl(queue(0).call.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(SessionTest, RingThatIsNotInMemoryDoesNotStart) {
  negotiate();
  done(Request::kSetVringNum, ring(0, 256));
  done(Request::kSetVringAddr,
       bytes(uint32_t{0}, uint32_t{0}, uint64_t{0x1000}, uint64_t{0x2000}, uint64_t{0x3000}, uint64_t{0}));
  const Fd fd(eventfd(0, EFD_CLOEXEC));
  EXPECT_NE(ended(Request::kSetVringKick, u64(0), {fd.get()}), "it goes on");
  EXPECT_FALSE(queue(0).ring.is_started());
}

TEST_F(SessionTest, RingSizesHaveLimits) {
  for (const uint32_t size : {0u, 32769u, 0xffffffffu}) {
    connect(nullptr);
    EXPECT_NE(ended(Request::kSetVringNum, ring(0, size)).find("entries"), std::string::npos) << size;
  }
}

TEST_F(SessionTest, FeaturesOfARunningDeviceStayButForTheLog) {
  negotiate();
  start(0);
  const uint64_t features = device_->features();
  done(Request::kSetFeatures, u64(features | bit(Feature::kLogAll)));
  EXPECT_NE(ended(Request::kSetFeatures, u64(features | bit(Feature::kMrgRxbuf))).find("ring 0 is running"),
            std::string::npos);
}

TEST_F(SessionTest, LogIsInUseWithItsFeatureOnly) {
  negotiate();
  start(0);
  const Fd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), 0x1000), 0);
  ASSERT_TRUE(send(Request::kSetLogBase, bytes(uint64_t{0x1000}, uint64_t{0}), {log.get()}).is_ok());
  EXPECT_EQ(reply_u64(Request::kSetLogBase), 0u);
  EXPECT_EQ(workers_[0]->log(), nullptr);
  done(Request::kSetFeatures, u64(device_->features() | bit(Feature::kLogAll)));
  EXPECT_NE(workers_[0]->log(), nullptr);
  EXPECT_NE(workers_[1]->log(), nullptr);
  done(Request::kSetVringAddr, addresses(0, 1));
  EXPECT_TRUE(queue(0).ring.is_started());
  done(Request::kSetFeatures, u64(device_->features() & ~bit(Feature::kLogAll)));
  EXPECT_EQ(workers_[0]->log(), nullptr);
}

TEST_F(SessionTest, RunningRingDoesNotMove) {
  negotiate();
  start(0);
  std::string elsewhere = addresses(0);
  elsewhere[9] = 0x10;
  EXPECT_EQ(ended(Request::kSetVringAddr, elsewhere), "move ring 0: it is running");
}

TEST_F(SessionTest, MemoryComesAndGoesInSlots) {
  negotiate();
  const Fd more(memfd_create("more", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(more.get(), 0x10000), 0);
  const std::string padding(8, '\0');
  const std::string slot = region(kGpa + kMemoryBytes, 0x10000, kUva + kMemoryBytes);
  done(Request::kAddMemReg, padding + slot, {more.get()});
  EXPECT_EQ(device_->memory().slots(), 2u);
  EXPECT_NE(device_->memory().at_gpa(kGpa + kMemoryBytes, 0x10000), nullptr);
  done(Request::kRemMemReg, padding + slot);
  EXPECT_EQ(device_->memory().slots(), 1u);
  EXPECT_EQ(device_->memory().at_gpa(kGpa + kMemoryBytes, 1), nullptr);
}

TEST_F(SessionTest, RemovingASlotMayBringADescriptor) {
  negotiate();
  done(Request::kRemMemReg, std::string(8, '\0') + region(), {memory_fd()});
  EXPECT_EQ(device_->memory().slots(), 0u);
}

TEST_F(SessionTest, RingWhoseMemoryIsRemovedStopsWithALine) {
  negotiate();
  start(0);
  done(Request::kRemMemReg, std::string(8, '\0') + region());
  EXPECT_FALSE(device_->is_started(0));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0].find("go on with ring 0: "), 0u) << said_[0];
}

TEST_F(SessionTest, RingGoesOnOverANewTableThatHasIt) {
  negotiate();
  set_used_index(0, 5);
  start(0, 5);
  done(Request::kSetMemTable, table(region()), {memory_fd()});
  EXPECT_TRUE(queue(0).ring.is_started());
  EXPECT_EQ(stopped_at(0), 5u);
}

TEST_F(SessionTest, ResetKeepsMemoryAndNothingElse) {
  negotiate();
  start(0);
  done(Request::kSetVringEnable, ring(0, 1));
  done(Request::kResetDevice);
  EXPECT_FALSE(queue(0).ring.is_started());
  EXPECT_FALSE(queue(0).is_enabled);
  EXPECT_FALSE(device_->has_features());
  EXPECT_EQ(device_->memory().slots(), 1u);
  EXPECT_EQ(workers_[0]->forgotten(), 1u);
  EXPECT_EQ(tun_f_, 0u);
}

TEST_F(SessionTest, StatusIsKeptAndZeroResets) {
  negotiate();
  start(0);
  done(Request::kSetStatus, u64(15));
  EXPECT_EQ(asked(Request::kGetStatus), 15u);
  done(Request::kSetStatus, u64(0));
  EXPECT_EQ(asked(Request::kGetStatus), 0u);
  EXPECT_FALSE(queue(0).ring.is_started());
}

TEST_F(SessionTest, NextFrontEndFindsNothingOfTheOneBefore) {
  negotiate();
  start(0);
  device_->forget_front_end();
  EXPECT_EQ(device_->memory().slots(), 0u);
  EXPECT_FALSE(device_->is_started(0));
  EXPECT_FALSE(queue(0).kick.is_open());
  EXPECT_EQ(workers_[0]->forgotten(), 1u);
  connect(nullptr);
  negotiate();
  start(0);
  EXPECT_TRUE(queue(0).ring.is_started());
}

TEST_F(SessionTest, RarpGoesToTheTapForGuestsThatDoNotAnnounce) {
  negotiate();
  const uint8_t payload[8] = {0x52, 0x54, 0, 1, 2, 3, 0, 0};
  uint64_t number;
  memcpy(&number, payload, sizeof number);
  done(Request::kSendRarp, u64(number));
  ASSERT_EQ(workers_[0]->sent().size(), 1u);
  const std::string& frame = workers_[0]->sent()[0];
  EXPECT_EQ(frame.size(), 60u);
  EXPECT_EQ(frame.substr(0, 6), std::string(6, '\xff'));
  EXPECT_EQ(frame.substr(6, 8), std::string("\x52\x54\0\1\2\3\x80\x35", 8));
  EXPECT_EQ(frame.substr(14, 14), std::string("\0\1\x8\0\6\4\0\3\x52\x54\0\1\2\3", 14));
}

TEST_F(SessionTest, RarpIsNotNeededByGuestsThatAnnounce) {
  negotiate(bit(Feature::kVersion1) | bit(Feature::kProtocolFeatures) | bit(Feature::kGuestAnnounce));
  done(Request::kSendRarp, u64(0x030201005452));
  EXPECT_TRUE(workers_[0]->sent().empty());
}

TEST_F(SessionTest, RarpOfAnImpossibleAddressIsRefused) {
  negotiate();
  EXPECT_EQ(acknowledged(Request::kSendRarp, u64(0)), 1u);
  EXPECT_EQ(acknowledged(Request::kSendRarp, u64(0xffffffffffff)), 1u);
  EXPECT_TRUE(workers_[0]->sent().empty());
}

TEST_F(SessionTest, MtuIsCheckedAndAcknowledged) {
  done(Request::kSetProtocolFeatures, u64(kOfferedProtocolFeatures));
  EXPECT_EQ(acknowledged(Request::kNetSetMtu, u64(1500)), 0u);
  EXPECT_EQ(acknowledged(Request::kNetSetMtu, u64(67)), 1u);
  EXPECT_EQ(acknowledged(Request::kNetSetMtu, u64(65536)), 1u);
  said_.clear();
  EXPECT_EQ(acknowledged(Request::kNetSetMtu, u64(9000)), 0u);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_NE(said_[0].find("the tap's is 1500"), std::string::npos);
}

TEST_F(SessionTest, OldAndOptionalRequestsChangeNothing) {
  negotiate();
  start(0);
  done(Request::kSetOwner);
  done(Request::kResetOwner);
  const Fd fd(eventfd(0, EFD_CLOEXEC));
  done(Request::kSetLogFd, "", {fd.get()});
  done(Request::kSetBackendReqFd, "", {fd.get()});
  EXPECT_TRUE(queue(0).ring.is_started());
}

}  // namespace
}  // namespace tapferry
