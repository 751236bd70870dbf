// SPDX-License-Identifier: MIT
//
// A network namespace for a part of a unit test.
#pragma once

#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry::test {

// In a thread, which alone is in the new namespace and takes it along when it ends. No interface there talks IPv6 by itself.
inline void in_own_network(const std::function<void()>& test) {
  std::string why_not;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      why_not = "a network namespace of its own needs root";
    } else if (!open_file("/dev/net/tun", O_RDWR).is_ok()) {
      why_not = "/dev/net/tun can't be opened";
    } else {
      const auto quiet = open_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
      if (quiet.is_ok()) {
        EXPECT_EQ(write(quiet.value().get(), "1", 1), 1);
      }
      test();
    }
  }).join();
  if (!why_not.empty()) GTEST_SKIP() << why_not;
}

}  // namespace tapferry::test
