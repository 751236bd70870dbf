// SPDX-License-Identifier: MIT
#include "vhost/memory.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace tapferry {
namespace {

constexpr uint64_t kPage = 4096;

// A file whose byte i of page p is p.
Fd file_of(uint64_t pages) {
  Fd file(memfd_create("region", MFD_CLOEXEC));
  std::string content;
  for (uint64_t page = 0; page < pages; page++) content.append(kPage, static_cast<char>(page));
  EXPECT_EQ(write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return file;
}

std::string reason(const Status& status) { return status.is_ok() ? "" : status.error().reason(); }

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) != -1 ? 1 : 0;
  return count;
}

class Memory : public testing::Test {
 protected:
  GuestMemory memory;
};

TEST_F(Memory, AddressesAreThoseOfTheFilesBytes) {
  ASSERT_EQ(reason(memory.add({0x1000, 2 * kPage, 0x7000, kPage}, file_of(3))), "");
  EXPECT_EQ(*memory.at_gpa(0x1000, 1), 1);
  EXPECT_EQ(*memory.at_gpa(0x1000 + kPage, kPage), 2);
  EXPECT_EQ(memory.at_uva(0x7000 + 5, 1), memory.at_gpa(0x1000 + 5, 1));
  EXPECT_EQ(memory.gpa_of(memory.at_gpa(0x1234, 1)), 0x1234U);
  EXPECT_EQ(memory.slots(), 1U);
}

TEST_F(Memory, WhatIsWrittenIsSeenByTheFilesOwner) {
  Fd file = file_of(1);
  const Fd ours(dup(file.get()));
  ASSERT_EQ(reason(memory.add({0, kPage, 0, 0}, std::move(file))), "");
  *memory.at_gpa(7, 1) = 42;
  char byte = 0;
  EXPECT_EQ(pread(ours.get(), &byte, 1, 7), 1);
  EXPECT_EQ(byte, 42);
}

TEST_F(Memory, AnOffsetInsideAPageIsFine) {
  ASSERT_EQ(reason(memory.add({0x1000, kPage, 0x7000, 100}, file_of(2))), "");
  EXPECT_EQ(*memory.at_gpa(0x1000 + kPage - 101, 1), 0);
  EXPECT_EQ(*memory.at_gpa(0x1000 + kPage - 100, 1), 1);
}

// CVE-2018-1059: only the first byte of a range was looked up.
TEST_F(Memory, Cve2018_1059_ARangeIsInARegionFromItsFirstByteToItsLast) {
  ASSERT_EQ(reason(memory.add({0x1000, 2 * kPage, 0x7000, 0}, file_of(2))), "");
  for (const auto& [gpa, length] : {std::pair<uint64_t, uint64_t>{0xfff, 1},
                                    {0xfff, 2},
                                    {0x3000, 1},
                                    {0x2fff, 2},
                                    {0x1000, 2 * kPage + 1},
                                    {0x1000, UINT64_MAX},
                                    {0x2000, UINT64_MAX - 0x1000},
                                    {UINT64_MAX, 2}}) {
    iovec piece;
    EXPECT_EQ(memory.at_gpa(gpa, length), nullptr) << gpa << " " << length;
    EXPECT_EQ(memory.at_uva(gpa + 0x6000, length), nullptr) << gpa << " " << length;
    EXPECT_EQ(memory.spans(gpa, length, &piece, 1), 0) << gpa << " " << length;
  }
  EXPECT_NE(memory.at_gpa(0x1000, 2 * kPage), nullptr);
  EXPECT_NE(memory.at_gpa(0x2fff, 1), nullptr);
}

TEST_F(Memory, RegionsThatCannotBeAreRefused) {
  EXPECT_EQ(reason(memory.add({0, 0, 0, 0}, file_of(1))), "it has no size");
  EXPECT_EQ(reason(memory.add({UINT64_MAX - 10, kPage, 0, 0}, file_of(1))), "address and size wrap");
  EXPECT_EQ(reason(memory.add({0, kPage, UINT64_MAX - 10, 0}, file_of(1))), "address and size wrap");
  EXPECT_EQ(reason(memory.add({0, kPage, 0, UINT64_MAX - 10}, file_of(1))),
            "offset and size don't fit into an address space");
  EXPECT_EQ(reason(memory.add({0, 2 * kPage, 0, 0}, file_of(1))), "its file is shorter than offset and size");
  EXPECT_EQ(reason(memory.add({0, kPage, 0, 1}, file_of(1))), "its file is shorter than offset and size");
  EXPECT_NE(reason(memory.add({0, kPage, 0, 0}, Fd())), "");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd writer(ends[1]);
  EXPECT_NE(reason(memory.add({0, kPage, 0, 0}, Fd(ends[0]))), "") << "a pipe";
  EXPECT_EQ(memory.slots(), 0U);
}

TEST_F(Memory, OverlapsAreRefusedInEitherAddress) {
  ASSERT_EQ(reason(memory.add({0x10000, 2 * kPage, 0x70000, 0}, file_of(2))), "");
  EXPECT_EQ(reason(memory.add({0x11000, kPage, 0x90000, 0}, file_of(1))), "it overlaps guest memory 0x10000+0x2000");
  EXPECT_NE(reason(memory.add({0xf000, 2 * kPage, 0x90000, 0}, file_of(2))), "");
  EXPECT_NE(reason(memory.add({0xf000, 4 * kPage, 0x90000, 0}, file_of(4))), "");
  EXPECT_NE(reason(memory.add({0x20000, kPage, 0x71000, 0}, file_of(1))), "");
  EXPECT_EQ(reason(memory.add({0x12000, kPage, 0x72000, 0}, file_of(1))), "") << "neighbours don't overlap";
  EXPECT_EQ(memory.slots(), 2U);
}

// QEMU 7.2 does so, once for each queue pair.
TEST_F(Memory, ARegionThatIsAddedTwiceGoesWhenItIsRemovedTwice) {
  const Fd file = file_of(2);
  const RegionSpec region = {0x10000, kPage, 0x70000, 0};
  ASSERT_EQ(reason(memory.add(region, Fd(dup(file.get())))), "");
  ASSERT_EQ(reason(memory.add(region, Fd(dup(file.get())))), "");
  EXPECT_EQ(memory.slots(), 1U);
  EXPECT_NE(reason(memory.add(region, file_of(2))), "") << "another file";
  EXPECT_NE(reason(memory.add({0x10000, kPage, 0x70000, kPage}, Fd(dup(file.get())))), "") << "another part of it";
  EXPECT_EQ(reason(memory.remove(region)), "");
  EXPECT_NE(memory.at_gpa(0x10000, kPage), nullptr);
  EXPECT_EQ(reason(memory.remove(region)), "");
  EXPECT_EQ(memory.at_gpa(0x10000, 1), nullptr);
  EXPECT_NE(reason(memory.remove(region)), "");
}

TEST_F(Memory, HasAsManySlotsAsItSays) {
  const Fd file = file_of(1);
  for (uint64_t i = 0; i < GuestMemory::kMaxSlots; i++) {
    ASSERT_EQ(reason(memory.add({i * 2 * kPage, kPage, i * 2 * kPage, 0}, Fd(dup(file.get())))), "");
  }
  EXPECT_EQ(reason(memory.add({1ULL << 40, kPage, 1ULL << 40, 0}, Fd(dup(file.get())))),
            "there are 512 regions already");
  // Found by halving, not one by one.
  for (uint64_t i = 0; i < GuestMemory::kMaxSlots; i++) {
    const uint64_t gpa = i * 2 * kPage;
    ASSERT_NE(memory.at_gpa(gpa, kPage), nullptr);
    ASSERT_EQ(memory.gpa_of(memory.at_gpa(gpa + 9, 1)), gpa + 9);
    ASSERT_EQ(memory.at_gpa(gpa + kPage, 1), nullptr);
    ASSERT_EQ(memory.at_gpa(gpa, kPage + 1), nullptr);
  }
}

TEST_F(Memory, ARegionIsRemovedByItsThreeNumbers) {
  ASSERT_EQ(reason(memory.add({0x1000, kPage, 0x7000, 0}, file_of(1))), "");
  EXPECT_NE(reason(memory.remove({0x1000, kPage, 0x8000, 0})), "");
  EXPECT_NE(reason(memory.remove({0x1000, 2 * kPage, 0x7000, 0})), "");
  EXPECT_EQ(reason(memory.remove({0x1000, kPage, 0x7000, 99})), "") << "the offset doesn't count";
  EXPECT_EQ(memory.at_gpa(0x1000, 1), nullptr);
  EXPECT_NE(reason(memory.remove({0x1000, kPage, 0x7000, 0})), "");
}

TEST_F(Memory, ATableIsReplacedAsAWholeOrIsEmpty) {
  ASSERT_EQ(reason(memory.add({0x1000, kPage, 0x7000, 0}, file_of(1))), "");
  const int before = open_descriptors();
  std::vector<Fd> fds;
  fds.push_back(file_of(1));
  fds.push_back(file_of(1));
  EXPECT_NE(reason(memory.replace({{0x1000, kPage, 0x7000, 0}, {0x2000, 9 * kPage, 0x8000, 0}}, std::move(fds))), "");
  EXPECT_EQ(memory.slots(), 0U);
  std::vector<Fd> one;
  one.push_back(file_of(1));
  EXPECT_NE(reason(memory.replace({{0x1000, kPage, 0x7000, 0}, {0x2000, kPage, 0x8000, 0}}, std::move(one))), "");
  EXPECT_EQ(memory.slots(), 0U);
  std::vector<Fd> good;
  good.push_back(file_of(1));
  EXPECT_EQ(reason(memory.replace({{0x1000, kPage, 0x7000, 0}}, std::move(good))), "");
  EXPECT_EQ(memory.slots(), 1U);
  EXPECT_EQ(open_descriptors(), before) << "CVE-2019-14818: descriptors of refused tables stay open";
}

TEST_F(Memory, SpansCrossIntoNeighbours) {
  ASSERT_EQ(reason(memory.add({0x2000, kPage, 0x20000, 0}, file_of(1))), "");
  ASSERT_EQ(reason(memory.add({0x1000, kPage, 0x70000, 0}, file_of(1))), "");
  ASSERT_EQ(reason(memory.add({0x3000, kPage, 0x90000, 0}, file_of(1))), "");
  std::array<iovec, 3> iov;
  ASSERT_EQ(memory.spans(0x1ff0, kPage + 0x20, iov.data(), 3), 3);
  EXPECT_EQ(iov[0].iov_base, memory.at_gpa(0x1ff0, 0x10));
  EXPECT_EQ(iov[0].iov_len, 0x10U);
  EXPECT_EQ(iov[1].iov_base, memory.at_gpa(0x2000, 1));
  EXPECT_EQ(iov[1].iov_len, kPage);
  EXPECT_EQ(iov[2].iov_base, memory.at_gpa(0x3000, 1));
  EXPECT_EQ(iov[2].iov_len, 0x10U);
  EXPECT_EQ(memory.spans(0x1ff0, kPage + 0x20, iov.data(), 2), -1);
  EXPECT_EQ(memory.spans(0x1ff0, 4 * kPage, iov.data(), 2), 0) << "not mapped comes before no room";
  EXPECT_EQ(memory.spans(0x1000, 0, iov.data(), 3), 0);
  EXPECT_EQ(memory.spans(0x1000, 1, iov.data(), 0), -1);
}

TEST_F(Memory, CopiesOverRegionsAndAtOddAddresses) {
  ASSERT_EQ(reason(memory.add({0x1000, kPage, 0x70000, 0}, file_of(1))), "");
  ASSERT_EQ(reason(memory.add({0x2000, kPage, 0x20000, 0}, file_of(1))), "");
  for (uint64_t i = 0; i < 2 * kPage; i++) *memory.at_gpa(0x1000 + i, 1) = static_cast<uint8_t>(i * 7);
  for (const uint64_t begin : {uint64_t{0}, uint64_t{3}, kPage - 1, kPage - 17, kPage - 8}) {
    for (const size_t length : {size_t{0}, size_t{1}, size_t{8}, size_t{9}, size_t{63}}) {
      std::string copy(length, 'x');
      ASSERT_TRUE(memory.copy_in(copy.data(), 0x1000 + begin, length));
      for (size_t i = 0; i < length; i++) {
        ASSERT_EQ(static_cast<uint8_t>(copy[i]), static_cast<uint8_t>((begin + i) * 7));
      }
    }
  }
  std::string copy(32, 'x');
  EXPECT_FALSE(memory.copy_in(copy.data(), 0x3000 - 31, 32));
  EXPECT_FALSE(memory.copy_in(copy.data(), 0x0ff0, 32));
}

TEST_F(Memory, HugePagesAreMappedAndUnmapped) {
  constexpr uint64_t kHuge = 1 << 21;  // 21 << 26 is MFD_HUGE_2MB
  Fd file(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21U << 26)));
  if (!file.is_open() || ftruncate(file.get(), 2 * kHuge) != 0) GTEST_SKIP() << "kernel: no huge pages in files";
  // Nothing is touched: none may be reserved here. munmap(2) fails where the length is no multiple of a huge page.
  EXPECT_EQ(reason(memory.add({0, kHuge, 0, kHuge}, Fd(dup(file.get())))), "");
  EXPECT_EQ(reason(memory.add({1ULL << 30, kPage, 1ULL << 30, kPage}, std::move(file))), "");
  EXPECT_NE(memory.at_gpa(0, kHuge), nullptr);
  EXPECT_EQ(reason(memory.remove({0, kHuge, 0, kHuge})), "");
}

}  // namespace
}  // namespace tapferry
