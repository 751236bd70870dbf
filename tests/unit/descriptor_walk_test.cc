// SPDX-License-Identifier: MIT
#include "vhost/descriptor_walk.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "tests/unit/ring_case.h"

namespace tapferry {
namespace {

using Rule = RingFault::Rule;
constexpr unsigned kNext = VRING_DESC_F_NEXT;
constexpr unsigned kWrite = VRING_DESC_F_WRITE;
constexpr unsigned kIndirect = VRING_DESC_F_INDIRECT;

constexpr uint64_t kBytes = 1 << 20;  // of guest memory, from 0; a second region follows at once
constexpr uint64_t kTable = 0x8000;   // where indirect tables are put

class Walks : public testing::Test {
 protected:
  Walks() {
    for (const uint64_t gpa : {uint64_t{0}, kBytes}) {
      Fd file(memfd_create("region", MFD_CLOEXEC));
      EXPECT_EQ(ftruncate(file.get(), kBytes), 0);
      EXPECT_TRUE(memory.add({gpa, kBytes, gpa, 0}, std::move(file)).is_ok());
    }
    walk = DescriptorWalk(&memory, true);
  }
  void put(uint64_t gpa, const std::vector<RingDescriptor>& table) {
    for (size_t i = 0; i < table.size(); i++) {
      // One by one: the table may lie over both regions.
      memcpy(memory.at_gpa(gpa + 16 * i, 16), &table[i], 16);
    }
  }
  Take split(const std::vector<RingDescriptor>& table, unsigned head = 0, unsigned room = kMaxChainPieces) {
    return walk.split(table, head, &chain, pieces.data(), room, &fault);
  }
  Take packed(const std::vector<RingDescriptor>& ring, unsigned first = 0, unsigned limit = 1000) {
    return walk.packed(ring, first, ring[first].rest, limit, &chain, pieces.data(), kMaxChainPieces, &fault);
  }
  // The rule that is broken, and where.
  Rule rule(Take take) {
    EXPECT_EQ(take, Take::kBroken);
    return std::exchange(fault.rule, Rule::kNone);
  }

  GuestMemory memory;
  DescriptorWalk walk;
  Chain chain;
  std::vector<iovec> pieces = std::vector<iovec>(kMaxChainPieces);
  RingFault fault;
};

TEST_F(Walks, FollowNextInAnyOrder) {
  const std::vector<RingDescriptor> table = {split_descriptor(0x300, 3, kWrite),
                                             {},
                                             split_descriptor(0x100, 1, kNext, 3),
                                             split_descriptor(0x200, 2, kNext, 0)};
  ASSERT_EQ(split(table, 2), Take::kTaken);
  EXPECT_EQ(chain.id, 2);
  EXPECT_EQ(chain.slots, 3);
  EXPECT_EQ(chain.readable_bytes, 3U);
  EXPECT_EQ(chain.writable_bytes, 3U);
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(pieces[i].iov_base, memory.at_gpa(0x100 * (i + 1), 1));
}

TEST_F(Walks, OfPackedRingsGoOnAtTheBeginAndKeepTheLastId) {
  const std::vector<RingDescriptor> ring = {packed_descriptor(0x200, 2, kNext, 7),
                                            packed_descriptor(0x300, 3, 0, 9),
                                            {},
                                            packed_descriptor(0x100, 1, kNext, 8)};
  ASSERT_EQ(packed(ring, 3), Take::kTaken);
  EXPECT_EQ(chain.id, 9);
  EXPECT_EQ(chain.slots, 3);
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(pieces[i].iov_base, memory.at_gpa(0x100 * (i + 1), 1));
  EXPECT_EQ(rule(packed(ring, 3, 2)), Rule::kChainTooLong);
}

TEST_F(Walks, AnIndirectTableMayEndAChainOfOthers) {
  put(kTable, {split_descriptor(0x200, 2, kNext, 1), split_descriptor(0x300, 3)});
  ASSERT_EQ(split({split_descriptor(0x100, 1, kNext, 1), split_descriptor(kTable, 32, kIndirect | kWrite)}),
            Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, 3) << "WRITE says nothing at an indirect descriptor (2.7.5.3.2)";
  EXPECT_EQ(chain.slots, 2);
}

TEST_F(Walks, AnIndirectTableMayUseLessThanItHas) {
  put(kTable, {split_descriptor(0x200, 2, kNext, 7), {}, {}, {}, {}, {}, {}, split_descriptor(0x300, 3)});
  ASSERT_EQ(split({split_descriptor(kTable, 128, kIndirect)}), Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, 2);
}

TEST_F(Walks, APackedIndirectTableIsUsedInFullAndItsOtherFlagsIgnored) {
  put(kTable,
      {packed_descriptor(0x100, 1), packed_descriptor(0x200, 2, kIndirect), packed_descriptor(0x300, 3, kWrite)});
  ASSERT_EQ(packed({packed_descriptor(kTable, 48, kIndirect, 5)}), Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, 2);
  EXPECT_EQ(chain.writable_pieces, 1);
  EXPECT_EQ(chain.id, 5);
  EXPECT_EQ(chain.slots, 1);
}

TEST_F(Walks, AnIndirectTableLiesOverRegions) {
  const uint64_t table = kBytes - 24;
  // Its second descriptor has 8 bytes in each region.
  const RingDescriptor second = split_descriptor(0x200, 2, kNext, 2);
  put(table, {split_descriptor(0x100, 1, kNext, 1)});
  memcpy(memory.at_gpa(kBytes - 8, 8), &second, 8);
  memcpy(memory.at_gpa(kBytes, 8), &second.rest, 8);
  put(kBytes + 8, {split_descriptor(0x300, 3)});
  ASSERT_EQ(split({split_descriptor(table, 48, kIndirect)}), Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, 3);
  EXPECT_EQ(chain.readable_bytes, 6U);
}

TEST_F(Walks, TheLongestIndirectTableHasAsManyPiecesAsAWriteTakes) {
  std::vector<RingDescriptor> table;
  for (unsigned i = 0; i < kMaxChainPieces; i++) {
    table.push_back(split_descriptor(16 * i, 16, i + 1 < kMaxChainPieces ? kNext : 0, i + 1));
  }
  put(kTable, table);
  ASSERT_EQ(split({split_descriptor(kTable, 16 * kMaxChainPieces, kIndirect)}), Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, kMaxChainPieces);
  EXPECT_EQ(rule(split({split_descriptor(kTable, 16 * (kMaxChainPieces + 1), kIndirect)})), Rule::kIndirectSize);
}

TEST_F(Walks, MorePiecesThanAWriteTakesAreRefused) {
  std::vector<RingDescriptor> table;
  for (unsigned i = 0; i < kMaxChainPieces + 1; i++) table.push_back(split_descriptor(16 * i, 16, kNext, i + 1));
  table.push_back(split_descriptor(0, 16));
  EXPECT_EQ(rule(split(table)), Rule::kTooManyPieces);
  EXPECT_EQ(split(table, 0, kMaxChainPieces - 1), Take::kNoRoom);
  // The last one would fit, but not over two regions.
  table.erase(table.begin(), table.begin() + 2);
  for (unsigned i = 0; i < table.size(); i++) table[i] = split_descriptor(16 * i, 16, kNext, i + 1);
  table.back() = split_descriptor(kBytes - 8, 16);
  EXPECT_EQ(rule(split(table)), Rule::kTooManyPieces);
  table.back() = split_descriptor(kBytes - 16, 16);
  EXPECT_EQ(split(table), Take::kTaken);
}

// CVE-2019-3900: a chain without an end keeps the device busy for ever.
TEST_F(Walks, Cve2019_3900_LoopsEnd) {
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext, 0)})), Rule::kChainTooLong);
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext, 1), split_descriptor(0, 1, kNext, 0)})), Rule::kChainTooLong);
  put(kTable, {split_descriptor(0, 1, kNext, 1), split_descriptor(0, 1, kNext, 0)});
  EXPECT_EQ(rule(split({split_descriptor(kTable, 32, kIndirect)})), Rule::kChainTooLong);
  EXPECT_TRUE(fault.is_in_indirect);
  const std::vector<RingDescriptor> ring(8, packed_descriptor(0, 1, kNext));
  EXPECT_EQ(rule(packed(ring, 0, 8)), Rule::kChainTooLong);
}

TEST_F(Walks, NextOutsideOfTheTableIsRefused) {
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext, 1)})), Rule::kNextOutOfRange);
  EXPECT_EQ(fault.value, 1U);
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext, 65535)})), Rule::kNextOutOfRange);
  put(kTable, {split_descriptor(0, 1, kNext, 2), split_descriptor(0, 1), split_descriptor(0, 1)});
  EXPECT_EQ(rule(split({split_descriptor(kTable, 32, kIndirect)})), Rule::kNextOutOfRange);
}

TEST_F(Walks, DescriptorsOfNoLengthAreRefused) {
  EXPECT_EQ(rule(split({split_descriptor(0x123, 0)})), Rule::kEmptyDescriptor);
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext, 1), split_descriptor(0x123, 0, kWrite)})),
            Rule::kEmptyDescriptor);
  EXPECT_EQ(fault.descriptor, 1U);
  EXPECT_EQ(rule(packed({packed_descriptor(0x123, 0)})), Rule::kEmptyDescriptor);
  put(kTable, {packed_descriptor(0, 1), packed_descriptor(0, 0)});
  EXPECT_EQ(rule(packed({packed_descriptor(kTable, 32, kIndirect)})), Rule::kEmptyDescriptor);
  EXPECT_EQ(describe({.rule = Rule::kEmptyDescriptor, .descriptor = 1, .is_in_indirect = true, .address = 0x123}, 1),
            "queue 1, indirect descriptor 1: no bytes at 0x123");
}

TEST_F(Walks, BuffersOutsideOfMemoryAreRefused) {
  for (const RingDescriptor& descriptor :
       {split_descriptor(2 * kBytes, 1), split_descriptor(2 * kBytes - 1, 2), split_descriptor(0, UINT32_MAX),
        split_descriptor(UINT64_MAX, 2), split_descriptor(UINT64_MAX - 3, 4), split_descriptor(kBytes, kBytes + 1)}) {
    EXPECT_EQ(rule(split({descriptor})), Rule::kNotInMemory);
    EXPECT_EQ(fault.address, descriptor.address);
  }
  EXPECT_EQ(split({split_descriptor(0, 2 * kBytes)}), Take::kTaken) << "all there is";
}

TEST_F(Walks, AnIndirectTableOutsideOfMemoryIsRefused) {
  EXPECT_EQ(rule(split({split_descriptor(2 * kBytes - 16, 32, kIndirect)})), Rule::kIndirectNotInMemory);
  EXPECT_EQ(rule(split({split_descriptor(UINT64_MAX - 15, 32, kIndirect)})), Rule::kIndirectNotInMemory);
  EXPECT_EQ(rule(packed({packed_descriptor(2 * kBytes, 16, kIndirect)})), Rule::kIndirectNotInMemory);
}

TEST_F(Walks, IndirectSizesThatCannotBeAreRefused) {
  for (const uint32_t length : {0U, 1U, 15U, 17U, 16 * (kMaxChainPieces + 1), UINT32_MAX, 0xfffffff0U}) {
    EXPECT_EQ(rule(split({split_descriptor(kTable, length, kIndirect)})), Rule::kIndirectSize) << length;
    EXPECT_EQ(rule(packed({packed_descriptor(kTable, length, kIndirect)})), Rule::kIndirectSize) << length;
  }
}

TEST_F(Walks, IndirectWhereItMayNotBeIsRefused) {
  EXPECT_EQ(rule(split({split_descriptor(kTable, 16, kIndirect | kNext, 1), {}})), Rule::kIndirectAndNext);
  put(kTable, {split_descriptor(kTable, 16, kIndirect)});
  EXPECT_EQ(rule(split({split_descriptor(kTable, 16, kIndirect)})), Rule::kIndirectNested);
  walk = DescriptorWalk(&memory, false);
  EXPECT_EQ(rule(split({split_descriptor(kTable, 16, kIndirect)})), Rule::kIndirectRefused);
  EXPECT_EQ(rule(packed({packed_descriptor(kTable, 16, kIndirect)})), Rule::kIndirectRefused);
}

TEST_F(Walks, ReadableBehindWritableIsRefused) {
  EXPECT_EQ(rule(split({split_descriptor(0, 1, kNext | kWrite, 1), split_descriptor(0, 1)})),
            Rule::kReadableAfterWritable);
  EXPECT_EQ(rule(packed({packed_descriptor(0, 1, kNext | kWrite), packed_descriptor(0, 1)})),
            Rule::kReadableAfterWritable);
}

// DPDK's driver sends such ones.
TEST_F(Walks, WriteInAPackedIndirectTableThatIsSentMeansNothing) {
  put(kTable, {packed_descriptor(0, 12, kWrite), packed_descriptor(100, 60), packed_descriptor(200, 8, kWrite)});
  EXPECT_EQ(rule(packed({packed_descriptor(kTable, 48, kIndirect)})), Rule::kReadableAfterWritable);
  walk = DescriptorWalk(&memory, true, true);
  ASSERT_EQ(packed({packed_descriptor(kTable, 48, kIndirect)}), Take::kTaken);
  EXPECT_EQ(chain.readable_pieces, 3);
  EXPECT_EQ(chain.readable_bytes, 80U);
  EXPECT_EQ(chain.writable_pieces, 0);
}

TEST_F(Walks, ChainsOfFourGigabytesAreRefused) {
  Fd file(memfd_create("large", MFD_CLOEXEC));
  constexpr uint64_t kLarge = 3ULL << 30;
  ASSERT_EQ(ftruncate(file.get(), kLarge), 0);  // a hole
  ASSERT_TRUE(memory.add({1ULL << 32, kLarge, 1ULL << 32, 0}, std::move(file)).is_ok());
  for (const unsigned flags : {0U, kWrite}) {
    EXPECT_EQ(rule(split({split_descriptor(1ULL << 32, 1U << 31, kNext | flags, 1),
                          split_descriptor(1ULL << 32, 1U << 31, flags)})),
              Rule::kTooManyBytes);
  }
  // Half of them to read and half to write is fine.
  ASSERT_EQ(split({split_descriptor(1ULL << 32, 1U << 31, kNext, 1), split_descriptor(1ULL << 32, 1U << 31, kWrite)}),
            Take::kTaken);
}

}  // namespace
}  // namespace tapferry
