// SPDX-License-Identifier: MIT
//
// Taps of a real kernel as ports of a bridge, in a network namespace of the test's own.
#pragma once

#include <cstring>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "base/syscall.h"
#include "net/tun.h"
#include "tests/lib/segmenter.h"
#include "tests/unit/own_network.h"

namespace tapferry::test {

// netdevice(7)'s ioctls, on a socket of this namespace.
class Interfaces {
 public:
  Interfaces() : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

  void up(const std::string& name) {
    ifreq request = named(name);
    ASSERT_EQ(ioctl(socket_.get(), SIOCGIFFLAGS, &request), 0);
    request.ifr_flags |= IFF_UP;
    ASSERT_EQ(ioctl(socket_.get(), SIOCSIFFLAGS, &request), 0);
  }
  void bridge(const std::string& name) {
    ASSERT_EQ(ioctl(socket_.get(), SIOCBRADDBR, name.c_str()), 0);
    up(name);
  }
  // Up, and a port of the bridge, if one is named.
  Fd tap(const std::string& name, bool vnet_hdr, const std::string& bridge = "") {
    Fd fd = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK).value();
    EXPECT_TRUE(create_tap(fd.get(), name, {.multi_queue = false, .vnet_hdr = vnet_hdr}).is_ok());
    if (vnet_hdr) {
      EXPECT_TRUE(set_vnet_hdr_sz(fd.get(), 12).is_ok());
    }
    if (!bridge.empty()) {
      ifreq request = named(bridge);
      request.ifr_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
      EXPECT_EQ(ioctl(socket_.get(), SIOCBRADDIF, &request), 0);
    }
    up(name);
    return fd;
  }

 private:
  static ifreq named(const std::string& name) {
    ifreq request = {};
    memcpy(request.ifr_name, name.c_str(), std::min<size_t>(name.size(), IFNAMSIZ - 1));
    return request;
  }

  Fd socket_;
};

using Wanted = std::function<bool(const Bytes& frame)>;
// From the guest of tests/lib/flow_frames.h; a bridge has things to say by itself, too.
inline bool is_from_guest(const Bytes& frame) { return get16(frame, 6) == 0x5254 && get32(frame, 8) == 1; }

// What a tap without vnet header or a packet socket has for its reader, until `count` frames came or nothing does any more.
inline std::vector<Bytes> frames_from(int fd, size_t count, const Wanted& is_wanted = is_from_guest) {
  std::vector<Bytes> frames;
  Bytes buffer(66000);
  pollfd waited = {fd, POLLIN, 0};
  while (frames.size() < count && poll(&waited, 1, 5000) == 1) {
    const ssize_t bytes = read(fd, buffer.data(), buffer.size());
    if (bytes >= 14 && is_wanted(buffer)) frames.emplace_back(buffer.begin(), buffer.begin() + bytes);
  }
  return frames;
}

}  // namespace tapferry::test
