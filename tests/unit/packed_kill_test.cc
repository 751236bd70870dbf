// SPDX-License-Identifier: MIT
//
// A packed ring whose back-end is killed after any instruction of publish() goes on in the next one: no chain is lost, none is
// used twice. A child process publishes in memory that it shares with us, one instruction at a time; whatever the memory
// looks like after one of them, a new back-end starts with.
#include <array>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "tests/unit/ring_case.h"

namespace tapferry {
namespace {

constexpr unsigned kSize = 8;
constexpr uint64_t kChains = 3;  // of the batch: of two descriptors, one, and one

struct KillCase {
  bool is_in_order;
  bool is_writable;
  bool goes_on;    // the driver does, before the next back-end starts
  unsigned begin;  // chains used before
};

// All that outlives a back-end.
struct Left {
  std::array<RingDescriptor, kSize> ring;
  RingProgress progress;
};

class Killed {
 public:
  explicit Killed(const KillCase& how)
      : ring({.driver = {.size = kSize, .is_packed = true, .is_in_order = how.is_in_order, .indirect_entries = 4}}),
        shared_(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        written_(how.is_writable ? 32 : 0) {
    config = ring.config();
    config.progress = progress();
    start();
    for (unsigned i = 0; i < how.begin; i++) {
      ring.offer_one(true);
      ring.driver->publish();
      use(1);
      ring.queue.publish();
      EXPECT_EQ(ring.fetch(), i);
    }
    for (const size_t slots : {2, 1, 1, 1}) {
      ring.offer(std::vector<front::Buffer>(slots, {kHighGpa, 32, how.is_writable}));
    }
    ring.driver->publish();
    use(kChains);
  }
  Killed(const Killed&) = delete;
  Killed& operator=(const Killed&) = delete;
  ~Killed() { munmap(shared_, 4096); }

  void start() { EXPECT_TRUE(ring.queue.start(config, &ring.memory, nullptr).is_ok()); }
  void use(uint64_t most) {
    for (uint64_t i = 0; i < most && ring.take() == Take::kTaken; i++) ring.queue.push_used(ring.chain, written_);
  }
  RingProgress* progress() const { return static_cast<RingProgress*>(shared_); }
  Left left() {
    Left left;
    memcpy(left.ring.data(), ring.descriptor(0), sizeof left.ring);
    left.progress = *progress();
    return left;
  }
  void leave(const Left& left) {
    memcpy(ring.descriptor(0), left.ring.data(), sizeof left.ring);
    *progress() = left.progress;
  }
  void check_next(uint64_t cookie) {
    EXPECT_EQ(ring.fetch(), static_cast<int64_t>(cookie));
    EXPECT_EQ(ring.written, written_);
  }

  RingCase ring;
  VirtqueueConfig config;

 private:
  void* shared_;
  uint32_t written_;
};

// What publish() leaves behind, from nothing done to all done, each state once.
std::vector<Left> all_states(const KillCase& how) {
  Killed killed(how);
  std::vector<Left> states = {killed.left()};
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    killed.ring.queue.publish();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  while (WIFSTOPPED(status) && ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0) {
    waitpid(child, &status, 0);
    const Left now = killed.left();
    if (memcmp(&now, &states.back(), sizeof now) != 0) states.push_back(now);
  }
  EXPECT_TRUE(WIFEXITED(status));
  return states;
}

class PackedKill : public testing::TestWithParam<KillCase> {};
INSTANTIATE_TEST_SUITE_P(Rings, PackedKill,
                         testing::Values(KillCase{false, true, false, 0}, KillCase{false, true, true, 5},
                                         KillCase{false, true, false, 13}, KillCase{true, true, true, 6},
                                         KillCase{true, false, false, 6}, KillCase{true, false, true, 0}));

TEST_P(PackedKill, AfterAnyInstructionLosesNothingAndDoesNothingTwice) {
  const KillCase how = GetParam();
  const std::vector<Left> states = all_states(how);
  // The batch is written down, its descriptors are, and it is crossed out.
  EXPECT_EQ(states.size(), how.is_writable ? 1 + 1 + kChains + 1 : 1 + 1 + 1 + 1);
  for (size_t i = 0; i < states.size(); i++) {
    SCOPED_TRACE("after " + std::to_string(i) + " stores");
    Killed killed(how);
    RingCase& ring = killed.ring;
    killed.leave(states[i]);
    uint64_t next = how.begin;
    if (how.goes_on) {
      while (ring.fetch() >= 0) next++;
      if (next != how.begin) {
        EXPECT_EQ(next, how.begin + kChains) << "a batch is seen as a whole";
        while (ring.offer_one(how.is_writable)) {
        }
        ring.cookie--;
        ring.driver->publish();
      }
    }
    killed.config.resumes = true;
    killed.start();
    killed.use(100);
    EXPECT_FALSE(ring.queue.is_broken()) << describe(ring.queue.fault(), 0);
    ring.queue.publish();
    for (; next < ring.cookie; next++) killed.check_next(next);
    EXPECT_EQ(ring.fetch(), -1);
    EXPECT_EQ(ring.driver->fault(), "");
  }
}

}  // namespace
}  // namespace tapferry
