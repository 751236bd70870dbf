// SPDX-License-Identifier: MIT
#include "net/hidden_child.h"

#include <cerrno>
#include <csignal>
#include <optional>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

// For run_child() and what reads its outputs, with room to spare.
constexpr size_t kStackBytes = 256 * 1024;
constexpr size_t kGuardBytes = 64 * 1024;  // a page, of whatever size

// The keeper's stack.
class Stack {
 public:
  Stack()
      : memory_(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (is_mapped()) mprotect(memory_, kGuardBytes, PROT_NONE);
  }
  ~Stack() {
    if (is_mapped()) munmap(memory_, kStackBytes);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  bool is_mapped() const { return memory_ != MAP_FAILED; }
  void* top() const { return static_cast<char*>(memory_) + kStackBytes; }

 private:
  void* memory_;
};

struct Run {
  ChildProgram program;
  std::vector<ChildOutput> outputs;
  int timeout_ms = 0;
  std::optional<Result<int>> ended;
};

// This process's handlers are code that has no business in another, and where SIGCHLD is ignored there is no status.
void reset_signals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
}

// The keeper. All signals are blocked; their dispositions are its own, everything else is the sleeping thread's.
int keep(void* data) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  Run* run = static_cast<Run*>(data);
  run->ended = run_child(std::move(run->program), std::move(run->outputs), run->timeout_ms);
  return 0;
}

}  // namespace

Result<int> run_hidden_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms) {
  const std::string path = program.path;
  program.resets_signals = true;
  Run run = {std::move(program), std::move(outputs), timeout_ms, std::nullopt};
  const Stack stack;
  if (!stack.is_mapped()) return Error::from_errno("start", path, errno);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // No exit signal. Returns when the keeper has ended.
  const pid_t keeper = clone(keep, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_FILES, &run);
  const int error = errno;
  // Somebody who waits for clones too may have been faster: it makes no difference.
  if (keeper > 0) retry_on_eintr([&] { return waitpid(keeper, nullptr, __WALL); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (keeper < 0) return Error::from_errno("start", path, error);
  if (!run.ended) return Error("wait for", path, "the process that watched it was killed");
  return std::move(*run.ended);
}

}  // namespace tapferry
