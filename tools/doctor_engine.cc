// SPDX-License-Identifier: MIT
//
// How fast tapferry-vhost can be here: it moves frames by io_uring, or by epoll where that can't be.

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/syscall.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

constexpr const char* kObject = "io_uring";
constexpr const char* kInstead = "tapferry-vhost moves frames by epoll instead, which is somewhat slower";
constexpr unsigned kEntries = 128;  // of a queue's ring (vhost/uring_engine.cc)

int disabled_setting() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  int value = 0;
  return file >> value ? value : 0;
}

Finding forbidden() {
  const int setting = disabled_setting();
  if (setting == 0) {
    return {finding::kIoUringForbidden, kObject,
            std::string("a system call filter forbids it to this process; ") + kInstead, "",
            "a container's or unit's filter that allows io_uring_setup, io_uring_enter and io_uring_register"};
  }
  return {finding::kIoUringDisabled, kObject,
          "kernel.io_uring_disabled is " + std::to_string(setting) + "; " + kInstead,
          as_root("sysctl -w kernel.io_uring_disabled=0"),
          "until the next boot; for good, a file in /etc/sysctl.d says so, see sysctl.d(5)"};
}

// Kernels before 5.12 count rings against the limit on locked memory.
Finding no_memory() {
  return {finding::kIoUringMemlock, kObject,
          std::string("the limit on locked memory (ulimit -l) is too low for it; ") + kInstead,
          as_root("prlimit --memlock=unlimited --pid $$"),
          "for this shell and what it starts; for good, memlock in /etc/security/limits.conf"};
}

void look_at_ring(Diagnosis* diagnosis) {
  io_uring_params parameters = {};
  const Fd ring(static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &parameters)));
  const int code = ring.is_open() ? 0 : errno;
  rlimit limit = {};
  const bool has_limit = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  if (code == EPERM || code == EACCES) {
    diagnosis->findings.push_back(forbidden());
  } else if (code == ENOSYS) {
    diagnosis->findings.push_back({finding::kIoUringMissing, kObject,
                                   std::string("this kernel, or the filter of a container, has none; ") + kInstead, "",
                                   "Debian's own kernel has it"});
  } else if (code == ENOMEM && has_limit) {
    diagnosis->findings.push_back(no_memory());
  }
}

// What a tap can be read by is asked before it is asked whether there is an interface: EBADFD says yes, EOPNOTSUPP no
// (kiocb_set_rw_flags() in include/linux/fs.h; drivers/net/tun.c sets FMODE_NOWAIT since 6.4).
void look_at_reading(Diagnosis* diagnosis) {
  const auto tun = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (!tun.is_ok()) return;
  char byte = 0;
  const iovec piece = {&byte, sizeof byte};
  if (preadv2(tun.value().get(), &piece, 1, -1, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP) return;
  diagnosis->findings.push_back(
      {finding::kTapNowait, kObject,
       std::string("this kernel can't read a tap by it without waiting (Linux 6.4 can); ") + kInstead, "",
       "a newer kernel, such as that of Debian's backports"});
}

}  // namespace

Status check_engine(const Patient&, Diagnosis* diagnosis) {
  const size_t before = diagnosis->findings.size();
  look_at_ring(diagnosis);
  // Of several reasons for the same thing the first is enough.
  if (diagnosis->findings.size() == before) look_at_reading(diagnosis);
  return {};
}

}  // namespace tapferry
