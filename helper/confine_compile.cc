// SPDX-License-Identifier: MIT
//
// A program for the build, not for the target: compiles the lists of allowed system calls below into BPF by libseccomp, and
// prints it as the header that helper/confine.cc loads. Done at each start, it took longer than loading the
// result (docs/PERFORMANCE.md), and kept a library in the privileged process.
//
// Everything that isn't listed fails with EPERM rather than killing, so that a libc which needs one call more leaves an
// explanation behind.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

// What libc and its allocator need wherever they are, and what ends a process.
constexpr int kMemoryAndExit[] = {
    SCMP_SYS(brk),    SCMP_SYS(munmap),          SCMP_SYS(mremap),         SCMP_SYS(madvise),
    SCMP_SYS(futex),  SCMP_SYS(exit_group),      SCMP_SYS(rt_sigreturn),   SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigprocmask),
};

constexpr int kFiles[] = {
    SCMP_SYS(openat), SCMP_SYS(read),  SCMP_SYS(close),      SCMP_SYS(fstat),  SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),  SCMP_SYS(write), SCMP_SYS(getdents64), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
};

// wait4 is for the auditor.
constexpr int kSocketsAndCapabilities[] = {
    SCMP_SYS(wait4),   SCMP_SYS(sendto),        SCMP_SYS(sendmsg),    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg), SCMP_SYS(poll),          SCMP_SYS(getsockopt), SCMP_SYS(getpeername),
    SCMP_SYS(capset),  SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
};

constexpr int kAudit[] = {SCMP_SYS(recvfrom), SCMP_SYS(poll)};

// Besides files as the front has them: nodes. Its sockets are open by then.
constexpr int kMaking[] = {
    SCMP_SYS(mkdir),         SCMP_SYS(mkdirat), SCMP_SYS(mknod),    SCMP_SYS(mknodat),  SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),      SCMP_SYS(lstat),   SCMP_SYS(geteuid),  SCMP_SYS(sendto),   SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),      SCMP_SYS(recvmsg), SCMP_SYS(poll),     SCMP_SYS(capset),   SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(chmod),   SCMP_SYS(fchmodat), SCMP_SYS(setxattr), SCMP_SYS(renameat2),
};

// unlink for a node that a maker left behind, chmod for one that a user could open.
constexpr int kWatching[] = {
    SCMP_SYS(poll),   SCMP_SYS(accept4),       SCMP_SYS(getsockopt), SCMP_SYS(inotify_add_watch),
    SCMP_SYS(sendto), SCMP_SYS(sendmsg),       SCMP_SYS(recvfrom),   SCMP_SYS(recvmsg),
    SCMP_SYS(read),   SCMP_SYS(close),         SCMP_SYS(capset),     SCMP_SYS(unlink),
    SCMP_SYS(getuid), SCMP_SYS(clock_gettime), SCMP_SYS(lstat),      SCMP_SYS(newfstatat),
    SCMP_SYS(chmod),  SCMP_SYS(fchmodat),
};

// Of the keeper of a port of Open vSwitch and of ovs-vsctl, which inherits it: a program that is linked dynamically, which asks
// about processors and memory as it begins, and speaks with one server.
constexpr int kStarting[] = {
    SCMP_SYS(clone3),
    SCMP_SYS(vfork),
    SCMP_SYS(execve),
    SCMP_SYS(wait4),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe2),
    SCMP_SYS(fcntl),
    SCMP_SYS(close_range),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(mprotect),
    SCMP_SYS(mmap),
    SCMP_SYS(exit),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
};
constexpr int kAsking[] = {
    SCMP_SYS(connect),    SCMP_SYS(sendto),      SCMP_SYS(sendmsg),     SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),    SCMP_SYS(poll),        SCMP_SYS(ppoll),       SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
};
constexpr int kLookingAround[] = {
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(pread64),
    SCMP_SYS(writev),
    SCMP_SYS(uname),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getppid),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(times),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(alarm),
    SCMP_SYS(setitimer),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(get_mempolicy),
    SCMP_SYS(sysinfo),
    SCMP_SYS(sched_yield),
};

// drivers/net/tun.c; nothing that reads or filters frames.
constexpr unsigned kTunOperations[] = {TUNSETIFF,       TUNSETOWNER, TUNSETPERSIST,
                                       TUNSETVNETHDRSZ, TUNGETIFF,   TUNGETVNETHDRSZ};
// Of stderr, whether its line was read.
constexpr unsigned kPipeOperations[] = {FIONREAD};
// drivers/net/tap.c.
constexpr unsigned kMacvtapOperations[] = {TUNSETIFF, TUNSETVNETHDRSZ, TUNGETIFF, TUNGETVNETHDRSZ, SIOCGIFHWADDR};
constexpr unsigned kDescriptorOperations[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};

void check(int status, const char* what) {
  if (status >= 0) return;
  fprintf(stderr, "confine_compile: %s: %s\n", what, strerror(-status));
  exit(1);
}

void allow(scmp_filter_ctx filter, std::span<const int> calls) {
  for (const int call : calls) check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0), "allow a call");
}

// Where one argument must be as given.
void allow_if(scmp_filter_ctx filter, int call, scmp_arg_cmp comparison) {
  check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, comparison), "allow a call with an argument");
}

void allow_front(scmp_filter_ctx filter) {
  allow(filter, kMemoryAndExit);
  allow(filter, kFiles);
  allow(filter, kSocketsAndCapabilities);
  allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  // The request is an unsigned int in the kernel; what a caller has in the upper half is passed over there too.
  for (const unsigned operation : kTunOperations) {
    allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation));
  }
  for (const unsigned operation : kPipeOperations) {
    allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation));
  }
  for (const unsigned operation : kDescriptorOperations) {
    allow_if(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation));
  }
}

void allow_auditor(scmp_filter_ctx filter) {
  allow(filter, kMemoryAndExit);
  allow(filter, kAudit);
  // Without an address: to the peers that its sockets have, and to no other daemon that trusts root's uid.
  allow_if(filter, SCMP_SYS(sendto), SCMP_A4(SCMP_CMP_EQ, 0, 0));
}

void allow_maker(scmp_filter_ctx filter) {
  allow(filter, kMemoryAndExit);
  allow(filter, kFiles);
  allow(filter, kMaking);
  allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  for (const unsigned operation : kMacvtapOperations) {
    allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation));
  }
}

void allow_warden(scmp_filter_ctx filter) {
  allow(filter, kMemoryAndExit);
  allow(filter, kWatching);
  allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

void allow_ovs_keeper(scmp_filter_ctx filter) {
  allow(filter, kMemoryAndExit);
  allow(filter, kFiles);
  allow(filter, kStarting);
  allow(filter, kAsking);
  allow(filter, kLookingAround);
  // posix_spawn(3) where there is no clone3: never a new namespace.
  constexpr unsigned kNamespaces =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  allow_if(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaces, 0));
  allow_if(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  allow_if(filter, SCMP_SYS(kill), SCMP_A1(SCMP_CMP_EQ, SIGKILL));
  // ovs-vsctl ends itself by the signal that its timeout is, having closed what it has (raise(3)).
  allow_if(filter, SCMP_SYS(tgkill), SCMP_A2(SCMP_CMP_EQ, SIGALRM));
  // Its own limits, and only read.
  allow_if(filter, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
}

void print(const char* name, void (*fill)(scmp_filter_ctx)) {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) check(-ENOMEM, "start a filter");
  fill(filter);
  FILE* file = tmpfile();
  if (file == nullptr) check(-errno, "make a temporary file");
  check(seccomp_export_bpf(filter, fileno(file)), "compile");
  seccomp_release(filter);
  rewind(file);
  printf("inline constexpr sock_filter %s[] = {\n", name);
  sock_filter line;
  while (fread(&line, sizeof line, 1, file) == 1)
    printf("    {0x%x, %u, %u, 0x%x},\n", line.code, line.jt, line.jf, line.k);
  printf("};\n");
  fclose(file);
}

}  // namespace

int main() {
  printf("// Made by helper/confine_compile.cc; the lists are there.\n#pragma once\n#include <linux/filter.h>\n");
  print("kFrontFilter", allow_front);
  print("kAuditorFilter", allow_auditor);
  print("kMakerFilter", allow_maker);
  print("kWardenFilter", allow_warden);
  print("kOvsKeeperFilter", allow_ovs_keeper);
  return ferror(stdout) != 0 || fflush(stdout) != 0;
}
