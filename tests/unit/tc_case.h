// SPDX-License-Identifier: MIT
//
// A tap of a real kernel, in a network namespace of the test's own, for tests of what hangs on an interface.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <string>
#include <thread>

#include "base/syscall.h"
#include "net/link.h"
#include "net/rtnl.h"
#include "net/tun.h"

namespace tapferry {

struct TapCase {
  Fd fd;
  Rtnl rtnl;
  Link tap;

  // In a thread, which alone is in the new namespace and takes it along when it ends.
  template <typename Test>
  static void run(Test test) {
    std::string why_not;
    std::thread([&] {
      if (unshare(CLONE_NEWNET) != 0) {
        why_not = "a network namespace of its own needs root";
        return;
      }
      Result<Fd> fd = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK);
      if (!fd.is_ok()) {
        why_not = "/dev/net/tun can't be opened";
        return;
      }
      ASSERT_TRUE(create_tap(fd.value().get(), "tap7", {.vnet_hdr = true}).is_ok());
      Rtnl rtnl = Rtnl::open().value();
      Link tap = get_link(rtnl, "tap7").value();
      TapCase self = {std::move(fd).value(), std::move(rtnl), std::move(tap)};
      test(self);
    }).join();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }

  // What tc(8) or ip(8) say; "" if they fail.
  static std::string command(const std::string& line) {
    FILE* pipe = popen((line + " 2>&1").c_str(), "re");
    if (pipe == nullptr) return "";
    std::string text;
    char buffer[4096];
    while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
    return pclose(pipe) == 0 ? text : "";
  }
};

}  // namespace tapferry
