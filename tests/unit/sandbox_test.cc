// SPDX-License-Identifier: MIT
//
// What a process can still do in the sandbox, tried by a child that has gone into it: by system calls, and by the ring that it has.
#include "vhost/sandbox.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <map>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/syscall.h"
#include "vhost/uring_setup.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_WITH_SANITIZER() GTEST_SKIP() << "the sanitizers' builds have no sandbox"
#else
#define SKIP_WITH_SANITIZER() static_cast<void>(0)
#endif

namespace tapferry {
namespace {

// Runs `body` in a child and returns the wait status; what it reports is in `results`, errno values by name.
class Child {
 public:
  using Report = std::function<void(const char* what, long result)>;

  explicit Child(const std::function<void(const Report&)>& body) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      close(ends[0]);
      body([&](const char* what, long result) { dprintf(ends[1], "%s %d\n", what, result < 0 ? errno : 0); });
      _exit(0);
    }
    close(ends[1]);
    FILE* lines = fdopen(ends[0], "r");
    char what[64];
    int code;
    while (fscanf(lines, "%63s %d", what, &code) == 2) results_[what] = code;
    fclose(lines);
    waitpid(pid, &status_, 0);
  }

  // The errno that it got for `what`, 0: it could; -1: it didn't come to that.
  int operator[](const char* what) const {
    const auto found = results_.find(what);
    return found == results_.end() ? -1 : found->second;
  }
  int status() const { return status_; }

 private:
  std::map<std::string, int> results_;
  int status_ = 0;
};

void enter_or_exit(const std::string& folder = "") {
  if (!enter_sandbox(folder).is_ok()) _exit(1);
}
void close_or_exit(SystemCalls calls = {}) {
  if (!close_sandbox(calls).is_ok()) _exit(2);
}

TEST(SandboxTest, SystemCallsThatMoveNoFramesFail) {
  SKIP_WITH_SANITIZER();
  const Child child([](const Child::Report& report) {
    enter_or_exit();
    close_or_exit();
    report("open", open("/etc/passwd", O_RDONLY));
    report("socket", socket(AF_INET, SOCK_STREAM, 0));
    report("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    report("io_uring_setup", syscall(SYS_io_uring_setup, 1, nullptr));
    report("io_uring_enter", syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0));
    report("fork", syscall(SYS_fork));
    report("kill", kill(getppid(), 0));
    report("unlink", unlink("/tmp/nothing"));
    report("prctl", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    report("memfd", memfd_create("x", 0));
    report("code",
           mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    report("mac", ioctl(0, SIOCSIFHWADDR, nullptr));
    report("epoll", syscall(SYS_epoll_create1, 0));
    report("end", 0);
  });
  for (const char* what : {"open", "socket", "unix", "io_uring_setup", "io_uring_enter", "fork", "kill", "unlink",
                           "prctl", "memfd", "code", "mac", "epoll"}) {
    EXPECT_EQ(child[what], EPERM) << what;
  }
  EXPECT_EQ(child["end"], 0);
  EXPECT_EQ(child.status(), 0);
}

TEST(SandboxTest, WhatAThreadAndTheControlNeedGoesOn) {
  SKIP_WITH_SANITIZER();
  auto pair = socket_pair(SOCK_STREAM).value();
  const Child child([&](const Child::Report& report) {
    const int event = eventfd(0, EFD_NONBLOCK);
    enter_or_exit();
    close_or_exit({.has_uring = false, .has_epoll = true, .can_unlink = false});
    report("eventfd", eventfd_write(event, 1));
    report("memory",
           mmap(nullptr, 1 << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    struct stat status;
    report("fstat", fstat(event, &status));
    report("nonblocking", fcntl(event, F_SETFL, O_NONBLOCK));
    report("send", send(pair.first.get(), "x", 1, MSG_NOSIGNAL));
    report("epoll", syscall(SYS_epoll_create1, 0));
    // It is no tap, which is another error than being forbidden.
    report("offloads", ioctl(event, TUNSETOFFLOAD, 0));
    report("allocate", std::string(1 << 20, 'x').size() > 0 ? 0 : -1);
  });
  for (const char* what : {"eventfd", "memory", "fstat", "nonblocking", "send", "epoll", "allocate"}) {
    EXPECT_EQ(child[what], 0) << what;
  }
  EXPECT_EQ(child["offloads"], ENOTTY);
}

TEST(SandboxTest, HoldsForThreadsThatWereThereBefore) {
  SKIP_WITH_SANITIZER();
  const Child child([](const Child::Report& report) {
    enter_or_exit();
    std::atomic<bool> is_closed = false;
    std::atomic<bool> is_done = false;
    std::thread thread([&] {
      while (!is_closed) sched_yield();
      report("socket", socket(AF_UNIX, SOCK_STREAM, 0));
      is_done = true;
    });
    close_or_exit();
    is_closed = true;
    while (!is_done) sched_yield();
    _exit(0);
  });
  EXPECT_EQ(child["socket"], EPERM);
}

TEST(SandboxTest, ExecutingKills) {
  SKIP_WITH_SANITIZER();
  const Child child([](const Child::Report& report) {
    enter_or_exit();
    close_or_exit();
    char program[] = "/bin/true";
    char* arguments[] = {program, nullptr};
    report("exec", execv(program, arguments));
  });
  EXPECT_TRUE(WIFSIGNALED(child.status()));
  EXPECT_EQ(child["exec"], -1);
}

TEST(SandboxTest, PrivilegeIsGoneAndMemoryStaysPrivate) {
  SKIP_WITH_SANITIZER();
  const Child child([](const Child::Report& report) {
    enter_or_exit();
    report("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1);
    report("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -1);
    rlimit core;
    getrlimit(RLIMIT_CORE, &core);
    report("core", core.rlim_max == 0 ? 0 : -1);
    // What only CAP_SYS_CHROOT lets a process do.
    report("chroot", chroot("/"));
  });
  EXPECT_EQ(child["no_new_privs"], 0);
  EXPECT_EQ(child["dumpable"], 0);
  EXPECT_EQ(child["core"], 0);
  EXPECT_EQ(child["chroot"], EPERM);
}

TEST(SandboxTest, LandlockLeavesTheSocketsFolderToRemoveFrom) {
  SKIP_WITH_SANITIZER();
  const std::string folder = testing::TempDir() + "/sandbox-" + std::to_string(getpid());
  const std::string file = folder + "/socket";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  ASSERT_TRUE(Fd(open(file.c_str(), O_CREAT | O_WRONLY | O_EXCL, 0600)).is_open());
  bool has_landlock = true;
  const Child child([&](const Child::Report& report) {
    const auto lacks = enter_sandbox(folder);
    if (!lacks.is_ok()) _exit(1);
    report("landlock", lacks.value().empty() ? 0 : -1);
    report("open", open(file.c_str(), O_RDONLY));
    report("create", open((folder + "/more").c_str(), O_CREAT | O_WRONLY, 0600));
    report("unlink", unlink(file.c_str()));
  });
  has_landlock = child["landlock"] == 0;
  unlink(file.c_str());
  unlink((folder + "/more").c_str());
  rmdir(folder.c_str());
  if (!has_landlock) GTEST_SKIP() << "kernel: no Landlock";
  EXPECT_EQ(child["open"], EACCES);
  EXPECT_EQ(child["create"], EACCES);
  EXPECT_EQ(child["unlink"], 0);
}

// What is submitted to a ring is seen by no seccomp filter.
TEST(SandboxTest, RingOpensNoFilesAndNoSockets) {
  SKIP_WITH_SANITIZER();
  auto pair = socket_pair(SOCK_SEQPACKET).value();
  ASSERT_TRUE(set_nonblocking(pair.first.get(), true).is_ok());
  const Child child([&](const Child::Report& report) {
    const int control = eventfd(0, EFD_NONBLOCK);
    io_uring ring;
    enter_or_exit();
    const Status made = set_up_ring(&ring, 8, pair.first.get(), control);
    report("ring", made.is_ok() ? 0 : -1);
    if (!made.is_ok()) _exit(0);
    close_or_exit({.has_uring = true, .has_epoll = false, .can_unlink = false});
    const auto submit = [&](const char* what, const std::function<void(io_uring_sqe*)>& prepare) {
      io_uring_sqe* entry = io_uring_get_sqe(&ring);
      prepare(entry);
      io_uring_cqe* completion = nullptr;
      io_uring_submit_and_wait(&ring, 1);
      if (io_uring_peek_cqe(&ring, &completion) != 0) _exit(3);
      errno = -completion->res;
      report(what, completion->res);
      io_uring_cqe_seen(&ring, completion);
    };
    submit("open", [](io_uring_sqe* e) { io_uring_prep_openat(e, AT_FDCWD, "/etc/passwd", O_RDONLY, 0); });
    submit("socket", [](io_uring_sqe* e) { io_uring_prep_socket(e, AF_INET, SOCK_STREAM, 0, 0); });
    submit("nop", [](io_uring_sqe* e) { io_uring_prep_nop(e); });
    submit("unlink", [](io_uring_sqe* e) { io_uring_prep_unlinkat(e, AT_FDCWD, "/tmp/nothing", 0); });
    // Not one of its registered files: a descriptor of the process.
    submit("write", [&](io_uring_sqe* e) { io_uring_prep_write(e, pair.first.get(), "x", 1, 0); });
    submit("frame", [](io_uring_sqe* e) {
      io_uring_prep_write(e, kTapFile, "x", 1, 0);
      e->flags |= IOSQE_FIXED_FILE;
    });
    const int files[] = {control};
    report("register", io_uring_register_files_update(&ring, kRxKickFile, files, 1) == 1 ? 0 : -1);
    errno = -io_uring_register_buffers(&ring, nullptr, 0);
    report("buffers", errno != 0 ? -1 : 0);
  });
  if (child["ring"] != 0) GTEST_SKIP() << "kernel: no io_uring";
  for (const char* what : {"open", "socket", "nop", "unlink", "write"}) EXPECT_EQ(child[what], EACCES) << what;
  EXPECT_EQ(child["frame"], 0);
  EXPECT_EQ(child["register"], 0);
  EXPECT_EQ(child["buffers"], EPERM);
}

}  // namespace
}  // namespace tapferry
