// SPDX-License-Identifier: MIT
//
// Stage 2 for real, in child processes: what is given up stays given up.
#include "helper/privilege.h"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/confine.h"

namespace tapferry {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsConfined = false;
#else
constexpr bool kIsConfined = true;
#endif

// The number of the first expectation that doesn't hold, 0 if all do. Nothing of GoogleTest runs in the child.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

bool is_forbidden(long result) { return result == -1 && errno == EPERM; }

Identity somebody() {
  Identity who;
  who.uid = 2001;
  who.gid = 2001;
  return who;
}

class Root : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to have something to give up";
#ifdef __SANITIZE_THREAD__
    // Capabilities belong to a thread, and the sanitizer has one of its own that keeps them.
    GTEST_SKIP() << "ThreadSanitizer's own thread gives nothing up";
#endif
  }
};

TEST_F(Root, WhatWasDroppedDoesNotComeBack) {
  EXPECT_EQ(in_child([] {
              if (!drop_privileges(somebody(), true).is_ok()) return 1;
              if (getuid() != 2001 || geteuid() != 2001 || getgid() != 2001 || getegid() != 2001) return 2;
              if (setresuid(0, 0, 0) == 0 || setresuid(-1, 0, -1) == 0 || setresgid(0, 0, 0) == 0) return 3;
              if (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) != 0 && prctl(PR_CAPBSET_DROP, 0, 0, 0, 0) == 0) return 4;
              if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 5;
              return 0;
            }),
            0);
}

TEST_F(Root, NetAdminIsRaisedAndLoweredOnly) {
  EXPECT_EQ(in_child([] {
              if (!has_net_admin()) return 0;
              if (!drop_privileges(somebody(), true).is_ok()) return 1;
              if (!raise_capability(CAP_NET_ADMIN).is_ok() || !lower_capability(CAP_NET_ADMIN).is_ok()) return 2;
              if (!give_up_net_admin().is_ok()) return 3;
              return raise_capability(CAP_NET_ADMIN).is_ok() ? 4 : 0;
            }),
            0);
}

TEST_F(Root, BareRootKeepsItsUidAndNothingElse) {
  EXPECT_EQ(in_child([] {
              if (!drop_to_bare_root().is_ok()) return 1;
              if (getuid() != 0 || geteuid() != 0) return 2;
              if (setresuid(2001, 2001, 2001) == 0) return 3;
              return raise_capability(CAP_NET_ADMIN).is_ok() ? 4 : 0;
            }),
            0);
}

// The child is confined with no_new_privs alone, as anybody may.
int confined(Status (*confine)(), const std::function<int()>& body) {
  return in_child([&] {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 100;
    if (!confine().is_ok()) return 101;
    return body();
  });
}

TEST(Confined, FrontCannotExecuteForkTraceOrOpenSockets) {
  if (!kIsConfined) GTEST_SKIP() << "a sanitizer build isn't confined";
  EXPECT_EQ(confined(confine_front,
                     [] {
                       char name[] = "/bin/true";
                       char* const arguments[] = {name, nullptr};
                       if (!is_forbidden(execve(name, arguments, nullptr))) return 1;
                       if (!is_forbidden(fork())) return 2;
                       if (!is_forbidden(socket(AF_UNIX, SOCK_STREAM, 0))) return 3;
                       if (!is_forbidden(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))) return 4;
                       if (!is_forbidden(setresuid(0, 0, 0))) return 5;
                       if (!is_forbidden(kill(getpid(), 0))) return 6;
                       void* code = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                       if (code != MAP_FAILED) return 7;
                       return 0;
                     }),
            0);
}

TEST(Confined, FrontHasTheTunOperationsItNeedsAndNoOther) {
  if (!kIsConfined) GTEST_SKIP() << "a sanitizer build isn't confined";
  EXPECT_EQ(confined(confine_front,
                     [] {
                       const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                       if (fd < 0) return 1;
                       int value = 0;
                       // ENOTTY is the device's answer: the call got that far.
                       if (ioctl(fd, TUNGETIFF, &value) != -1 || errno != ENOTTY) return 2;
                       if (!is_forbidden(ioctl(fd, TUNATTACHFILTER, &value))) return 3;
                       if (!is_forbidden(ioctl(fd, TUNSETGROUP, 1))) return 4;
                       if (fcntl(fd, F_GETFL) < 0) return 5;
                       if (!is_forbidden(fcntl(fd, F_DUPFD, 10))) return 6;
                       return 0;
                     }),
            0);
}

TEST(Confined, AuditorCannotEvenOpenAFile) {
  if (!kIsConfined) GTEST_SKIP() << "a sanitizer build isn't confined";
  EXPECT_EQ(confined(confine_auditor,
                     [] {
                       if (!is_forbidden(open("/dev/null", O_RDONLY))) return 1;
                       if (!is_forbidden(fork())) return 2;
                       return is_forbidden(socket(AF_UNIX, SOCK_DGRAM, 0)) ? 0 : 3;
                     }),
            0);
}

}  // namespace
}  // namespace tapferry
