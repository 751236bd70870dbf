// SPDX-License-Identifier: MIT
#include "vhost/memory_guard.h"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "vhost/dirty_log.h"
#include "vhost/memory.h"

namespace tapferry {
namespace {

constexpr uint64_t kPage = 4096;

class MemoryGuard : public testing::Test {
 protected:
  MemoryGuard() : file(memfd_create("region", MFD_CLOEXEC)) {
    EXPECT_EQ(sigaction(SIGBUS, nullptr, &before), 0);
    EXPECT_TRUE(install_memory_guard().is_ok());
    reset_lost_memory();
    EXPECT_EQ(ftruncate(file.get(), 4 * kPage), 0);
  }
  ~MemoryGuard() override {
    sigaction(SIGBUS, &before, nullptr);
    reset_lost_memory();
  }

  struct sigaction before;
  Fd file;
};

TEST_F(MemoryGuard, TruncatedMemoryReadsAsZerosAndIsRemembered) {
  GuestMemory memory;
  ASSERT_TRUE(memory.add({0, 4 * kPage, 0, 0}, Fd(dup(file.get()))).is_ok());
  volatile uint8_t* const byte = memory.at_gpa(3 * kPage, 1);
  *byte = 42;
  ASSERT_EQ(ftruncate(file.get(), kPage), 0);
  EXPECT_FALSE(is_memory_lost());
  EXPECT_EQ(*byte, 0);
  EXPECT_TRUE(is_memory_lost());
  *byte = 43;
  EXPECT_EQ(*byte, 43) << "writing goes on too";
  reset_lost_memory();
  EXPECT_FALSE(is_memory_lost());
}

TEST_F(MemoryGuard, ADirtyLogThatIsTruncatedIsLostToo) {
  DirtyLog log;
  ASSERT_TRUE(log.set(kPage, 0, Fd(dup(file.get()))).is_ok());
  ASSERT_EQ(ftruncate(file.get(), 0), 0);
  log.mark(0, 1);
  EXPECT_TRUE(is_memory_lost());
}

TEST_F(MemoryGuard, OtherMemoryKillsTheProcessAsEver) {
  // Mappings are made downwards: what is mapped first is right behind what is mapped next.
  auto* const other = static_cast<volatile char*>(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.get(), 0));
  GuestMemory memory;
  ASSERT_TRUE(memory.add({0, 4 * kPage, 0, 0}, Fd(dup(file.get()))).is_ok());
  ASSERT_EQ(ftruncate(file.get(), 0), 0);
  EXPECT_EXIT(static_cast<void>(*other), testing::KilledBySignal(SIGBUS), "");
  munmap(const_cast<char*>(other), kPage);
}

TEST_F(MemoryGuard, UnmappedMemoryIsGuardedNoMore) {
  GuestMemory memory;
  ASSERT_TRUE(memory.add({0, 4 * kPage, 0, 0}, Fd(dup(file.get()))).is_ok());
  uint8_t* const where = memory.at_gpa(0, 1);
  memory.clear();
  void* const other = mmap(where, 4 * kPage, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, file.get(), 0);
  ASSERT_EQ(other, where);
  ASSERT_EQ(ftruncate(file.get(), 0), 0);
  EXPECT_EXIT(static_cast<void>(*static_cast<volatile uint8_t*>(where)), testing::KilledBySignal(SIGBUS), "");
  munmap(other, 4 * kPage);
}

TEST_F(MemoryGuard, ASignalThatSomebodySendsKills) {
  GuestMemory memory;
  ASSERT_TRUE(memory.add({0, 4 * kPage, 0, 0}, Fd(dup(file.get()))).is_ok());
  EXPECT_EXIT(kill(getpid(), SIGBUS), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(MemoryGuard, TooManyMappingsAreRefusedAndPlacesAreGivenBack) {
  for (int round = 0; round < 2; round++) {
    size_t count = 0;
    while (guard_mapping(reinterpret_cast<void*>((count + 2) * kPage), kPage).is_ok()) count++;
    EXPECT_EQ(count, kMaxGuarded);
    for (size_t i = 0; i < count; i++) unguard_mapping(reinterpret_cast<void*>((i + 2) * kPage));
  }
}

}  // namespace
}  // namespace tapferry
