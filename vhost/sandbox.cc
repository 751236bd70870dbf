// SPDX-License-Identifier: MIT
#include "vhost/sandbox.h"

#include <cap-ng.h>
#include <cerrno>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

// The sanitizers' runtimes open files and need calls of their own at any time; these builds are for tests only.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasSanitizer = true;
#else
constexpr bool kHasSanitizer = false;
#endif

constexpr const char* kAction = "enter the sandbox:";

// The ABI's later parts (Documentation/userspace-api/landlock.rst), which Debian 12's header doesn't have.
struct LandlockAttributes {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};
constexpr uint64_t kFsFirst = (1ull << 13) - 1;
constexpr uint64_t kFsRefer = 1ull << 13;     // ABI 2
constexpr uint64_t kFsTruncate = 1ull << 14;  // ABI 3
constexpr uint64_t kNetTcp = 3;               // ABI 4: bind, connect
constexpr uint64_t kFsIoctlDev = 1ull << 15;  // ABI 5: on devices that are opened from now on
constexpr uint64_t kScopeOutside = 3;         // ABI 6: abstract sockets, signals

struct LandlockSize {
  LandlockAttributes attributes;
  size_t bytes;  // that this ABI knows
};

LandlockSize landlock_attributes(int abi) {
  LandlockSize known = {{kFsFirst, 0, 0}, sizeof(uint64_t)};
  if (abi >= 2) known.attributes.handled_access_fs |= kFsRefer;
  if (abi >= 3) known.attributes.handled_access_fs |= kFsTruncate;
  if (abi >= 4) known = {{known.attributes.handled_access_fs, kNetTcp, 0}, 2 * sizeof(uint64_t)};
  if (abi >= 5) known.attributes.handled_access_fs |= kFsIoctlDev;
  if (abi >= 6) known = {{known.attributes.handled_access_fs, kNetTcp, kScopeOutside}, sizeof(LandlockAttributes)};
  return known;
}

Status allow_removing_below(int ruleset, const std::string& folder) {
  const Fd opened = TRY(open_file(folder, O_PATH | O_DIRECTORY));
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE;
  rule.parent_fd = opened.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return Error::from_errno(kAction, "Landlock", errno);
  }
  return {};
}

// False where this kernel has none, or has it switched off.
Result<bool> restrict_files(const std::string& unlink_folder) {
  if (kHasSanitizer) return true;
  const auto abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return false;
  // A container's seccomp filter that doesn't know the call.
  if (abi < 0 && errno == EPERM) return false;
  if (abi < 0) return Error::from_errno(kAction, "Landlock", errno);
  const LandlockSize known = landlock_attributes(static_cast<int>(abi));
  const Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &known.attributes, known.bytes, 0)));
  if (!ruleset.is_open()) return Error::from_errno(kAction, "Landlock", errno);
  if (!unlink_folder.empty()) TRY(allow_removing_below(ruleset.get(), unlink_folder));
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return Error::from_errno(kAction, "Landlock", errno);
  return true;
}

Status drop_capabilities() {
  capng_clear(CAPNG_SELECT_CAPS);
  // A user without any may do that as well.
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return Error::from_errno(kAction, "capabilities", errno);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return Error::from_errno(kAction, "ambient capabilities", errno);
  }
  return {};
}

// ---- The list of system calls ------------------------------------------------------------------

// Of every thread, whichever engine it has.
constexpr int kEveryone[] = {
    // A tap's frames one by one, eventfds, signals; stderr and stdout.
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    // Parking, and waiting for that.
    SCMP_SYS(futex),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(sched_yield),
    // Where the vDSO can't tell the time.
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    // Memory given back; the allocator's.
    SCMP_SYS(madvise),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(getrandom),
    // Returning from SIGBUS's handler, and ending: by itself, or by abort(3).
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
};

// Of the main thread: the front-end's socket and what it sends, the link monitor's socket, waiting.
constexpr int kControl[] = {
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(accept4),
    SCMP_SYS(close),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    // The C library's fstat(2) is a newfstatat(2).
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
};

// The engine without io_uring; a new set for each pair of kicks.
constexpr int kEpoll[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1),
};

// Of what a tap's holder can do without privilege (drivers/net/tun.c), only this: not its MAC address, not its name.
constexpr unsigned long kTapOperations[] = {TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNSETQUEUE, TUNGETIFF, TUNGETVNETHDRSZ};

// Non-blocking, and what is asked of a descriptor that came with a message.
constexpr int kFcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_GET_SEALS};

// What one would do with a process that one has taken over; it has no business here, and its failing nobody to ask.
constexpr int kDeadly[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace)};

constexpr unsigned kRegisterFilesUpdate = 6;  // IORING_REGISTER_FILES_UPDATE: a ring's kicks

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {}
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void allow(std::span<const int> calls) {
    for (const int call : calls) add(SCMP_ACT_ALLOW, call, {});
  }
  void allow(int call, std::initializer_list<scmp_arg_cmp> if_all) { add(SCMP_ACT_ALLOW, call, if_all); }
  void kill(std::span<const int> calls) {
    for (const int call : calls) add(SCMP_ACT_KILL_PROCESS, call, {});
  }

  Status load() {
    const auto say = [](int code) { return Error::from_errno(kAction, "seccomp", code); };
    if (failure_ != 0) return say(failure_);
    // All threads, or none.
    int failure = -seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1);
    if (failure == 0) failure = -seccomp_load(context_);
    if (failure != 0) return say(failure);
    return {};
  }

 private:
  void add(uint32_t action, int call, std::initializer_list<scmp_arg_cmp> if_all) {
    const int added =
        seccomp_rule_add_array(context_, action, call, static_cast<unsigned>(if_all.size()), if_all.begin());
    if (added != 0 && failure_ == 0) failure_ = -added;
  }

  scmp_filter_ctx context_;
  int failure_ = 0;
};

void allow_memory(Filter* filter) {
  // Guest memory, the allocator's, and zeros in the place of guest memory that has gone; never code.
  filter->allow(SCMP_SYS(mmap), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  filter->allow(SCMP_SYS(mprotect), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
}

}  // namespace

Result<std::string> enter_sandbox(const std::string& unlink_folder) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Error::from_errno(kAction, "no_new_privs", errno);
  TRY(drop_capabilities());
  const bool has_landlock = TRY(restrict_files(unlink_folder));
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Error::from_errno(kAction, "RLIMIT_CORE", errno);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Error::from_errno(kAction, "PR_SET_DUMPABLE", errno);
  return std::string(has_landlock ? "" : "no Landlock");
}

Status close_sandbox(const SystemCalls& calls) {
  if (kHasSanitizer) return {};
  Filter filter;
  filter.allow(kEveryone);
  filter.allow(kControl);
  allow_memory(&filter);
  for (const unsigned long operation : kTapOperations) {
    filter.allow(SCMP_SYS(ioctl), {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, operation)});
  }
  for (const int command : kFcntls) {
    filter.allow(SCMP_SYS(fcntl), {SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command))});
  }
  // abort(3), to itself only.
  filter.allow(SCMP_SYS(tgkill), {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid()))});
  if (calls.has_uring) {
    filter.allow(SCMP_SYS(io_uring_enter), {});
    filter.allow(SCMP_SYS(io_uring_register), {SCMP_A1(SCMP_CMP_EQ, kRegisterFilesUpdate)});
  }
  if (calls.has_epoll) filter.allow(kEpoll);
  if (calls.can_unlink) {
    filter.allow(SCMP_SYS(unlink), {});
    filter.allow(SCMP_SYS(unlinkat), {});
  }
  filter.kill(kDeadly);
  return filter.load();
}

}  // namespace tapferry
