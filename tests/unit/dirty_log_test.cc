// SPDX-License-Identifier: MIT
#include "vhost/dirty_log.h"

#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace tapferry {
namespace {

class Log : public testing::Test {
 protected:
  Log() : file(memfd_create("log", MFD_CLOEXEC)) { EXPECT_EQ(ftruncate(file.get(), 8192), 0); }
  Fd copy() const { return Fd(dup(file.get())); }
  std::string reason(uint64_t size, uint64_t offset) {
    const Status set = log.set(size, offset, copy());
    return set.is_ok() ? "" : set.error().reason();
  }
  // Numbers of the pages whose bits are set in the file, from `offset` on.
  std::vector<unsigned> marked(off_t offset = 0) const {
    std::string bytes(8192, '\0');
    EXPECT_GE(pread(file.get(), bytes.data(), bytes.size(), offset), 0);
    std::vector<unsigned> pages;
    for (unsigned i = 0; i < bytes.size() * 8; i++) {
      if ((static_cast<uint8_t>(bytes[i / 8]) >> (i % 8) & 1) != 0) pages.push_back(i);
    }
    return pages;
  }

  Fd file;
  DirtyLog log;
};

using Pages = std::vector<unsigned>;

TEST_F(Log, EveryPageOfARangeIsMarked) {
  ASSERT_EQ(reason(100, 0), "");
  EXPECT_TRUE(log.is_mapped());
  log.mark(0, 1);
  EXPECT_EQ(marked(), Pages({0}));
  log.mark(3 * 4096 + 4095, 2);
  EXPECT_EQ(marked(), Pages({0, 3, 4}));
  log.mark(7 * 4096, 3 * 4096);
  EXPECT_EQ(marked(), Pages({0, 3, 4, 7, 8, 9}));
  log.mark(20 * 4096, 0);
  EXPECT_EQ(marked().size(), 6U) << "nothing was written";
}

TEST_F(Log, BeginsAtItsOffset) {
  ASSERT_EQ(reason(64, 4096), "");
  log.mark(4096, 1);
  EXPECT_EQ(marked(4096), Pages({1}));
  ASSERT_EQ(reason(64, 104), "") << "and may be inside a page";
  log.mark(2 * 4096, 1);
  EXPECT_EQ(marked(104), Pages({2, (4096 - 104) * 8 + 1}));
}

TEST_F(Log, PagesBehindItsEndAreLeftOutAndCounted) {
  ASSERT_EQ(reason(1, 0), "");
  log.mark(7 * 4096, 2 * 4096);
  EXPECT_EQ(marked(), Pages({7}));
  EXPECT_EQ(log.pages_outside(), 1U);
  log.mark(100 * 4096, 1);
  EXPECT_EQ(log.pages_outside(), 2U);
  log.mark(UINT64_MAX - 5, 100);
  EXPECT_EQ(log.pages_outside(), 3U);
  EXPECT_EQ(marked(), Pages({7}));
}

// CVE-2020-10722: offset and size were added without looking at the sum.
TEST_F(Log, Cve2020_10722_SumsThatWrapAreRefused) {
  EXPECT_NE(reason(UINT64_MAX, 8), "");
  EXPECT_NE(reason(8, UINT64_MAX - 3), "");
  EXPECT_NE(reason(UINT64_MAX - 4095, 4096), "");
  EXPECT_EQ(reason(0, 0), "it has no size");
  EXPECT_EQ(reason(8193, 0), "its file is shorter than offset and size");
  EXPECT_EQ(reason(4097, 4096), "its file is shorter than offset and size");
  EXPECT_EQ(reason(4096, 4096), "");
}

TEST_F(Log, ARefusedOneLeavesNone) {
  ASSERT_EQ(reason(64, 0), "");
  EXPECT_NE(reason(0, 0), "");
  EXPECT_FALSE(log.is_mapped());
  log.mark(0, 1);
  EXPECT_EQ(marked(), Pages());
  ASSERT_EQ(reason(64, 0), "");
  log.clear();
  EXPECT_FALSE(log.is_mapped());
  log.mark(0, 1);
  EXPECT_EQ(marked(), Pages());
}

TEST_F(Log, ThreadsMarkNeighbouringPagesAtOnce) {
  ASSERT_EQ(reason(64, 0), "");
  const auto mark_every_fourth = [&](unsigned first) {
    for (unsigned page = first; page < 512; page += 4) log.mark(uint64_t{page} * 4096, 1);
    log.mark(4096 * 512, 1);
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; i++) threads.emplace_back(mark_every_fourth, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(marked().size(), 512U);
  EXPECT_EQ(log.pages_outside(), 4U);
}

}  // namespace
}  // namespace tapferry
