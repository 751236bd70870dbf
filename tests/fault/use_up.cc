// SPDX-License-Identifier: MIT
//
// use_up CALL COUNT PROGRAM [ARGUMENT...]: makes COUNT calls of that name which do nothing, then
// executes PROGRAM.
//
// strace counts the calls of each process from 1 and disturbs the Nth in all of them. After this
// only the children of PROGRAM can still reach N. Linked statically, so that hardly any call comes
// before those that are counted.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct Known {
  const char* name;
  long number;
};

// Calls to which arguments of -1 do nothing: no such descriptor, no such address, or "leave it as
// it is".
constexpr Known kHarmless[] = {
    {"capget", SYS_capget},
    {"capset", SYS_capset},
    {"chdir", SYS_chdir},
    {"close", SYS_close},
    {"close_range", SYS_close_range},
    {"connect", SYS_connect},
    {"dup2", SYS_dup2},
    {"dup3", SYS_dup3},
    {"fcntl", SYS_fcntl},
    {"getegid", SYS_getegid},
    {"geteuid", SYS_geteuid},
    {"getgid", SYS_getgid},
    {"getpid", SYS_getpid},
    {"getresgid", SYS_getresgid},
    {"getresuid", SYS_getresuid},
    {"gettid", SYS_gettid},
    {"mmap", SYS_mmap},
    {"munmap", SYS_munmap},
    {"newfstatat", SYS_newfstatat},
    {"openat", SYS_openat},
    {"poll", SYS_poll},
    {"prctl", SYS_prctl},
    {"read", SYS_read},
    {"recvfrom", SYS_recvfrom},
    {"seccomp", SYS_seccomp},
    {"sendto", SYS_sendto},
    {"set_robust_list", SYS_set_robust_list},
    {"setgroups", SYS_setgroups},
    {"setresgid", SYS_setresgid},
    {"setresuid", SYS_setresuid},
    {"setsid", SYS_setsid},
    {"socket", SYS_socket},
};

}  // namespace

int main(int argc, char* argv[]) {
  if (argc < 4) return 2;
  // Its default action would end this process as well.
  signal(SIGUSR1, SIG_IGN);
  for (const Known& call : kHarmless) {
    if (strcmp(call.name, argv[1]) != 0) continue;
    for (long left = strtol(argv[2], nullptr, 10); left > 0; --left) {
      syscall(call.number, -1L, -1L, -1L, -1L, -1L, -1L);
    }
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 2;
  }
  fprintf(stderr, "use_up: %s is not in its list\n", argv[1]);
  return 2;
}
