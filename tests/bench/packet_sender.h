// SPDX-License-Identifier: MIT
//
// Sends frames into an interface of the host, from a packet socket, for a benchmark of the way towards the guest. Frames that stand
// for many are cut up by the kernel on the way (GSO), so that one core can make small frames faster than another can read them.
#pragma once

#include <cerrno>
#include <cstring>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "base/fd.h"
#include "tests/bench/frame_file.h"

namespace tapferry::bench {

class PacketSender {
 public:
  PacketSender(const std::string& interface, const std::string& file) : frames_(load_frames(file)) {
    socket_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    const int on = 1;
    const int room = 32 << 20;
    sockaddr_ll address = {};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    (void)setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    if (setsockopt(socket_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 || address.sll_ifindex == 0 ||
        bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      Arguments::fail(interface, strerror(errno));
    }
    // Of the guest's header, 12 bytes, a packet socket takes the first 10.
    for (Frame& frame : frames_) frame.bytes.erase(kHeaderBytes - 2, 2);
  }

  // One frame of the file; how many went on the way.
  unsigned send_one() {
    const Frame& frame = frames_[next_];
    if (++next_ == frames_.size()) next_ = 0;
    const ssize_t done = send(socket_.get(), frame.bytes.data(), frame.bytes.size(), MSG_DONTWAIT);
    if (done < 0 && errno != ENOBUFS && errno != EAGAIN) Arguments::fail("send", strerror(errno));
    return done < 0 ? 0 : frame.stands_for;
  }

 private:
  std::vector<Frame> frames_;
  Fd socket_;
  size_t next_ = 0;
};

}  // namespace tapferry::bench
