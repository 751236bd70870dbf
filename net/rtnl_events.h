// SPDX-License-Identifier: MIT
//
// Hearing of changes: a socket that is a member of netlink's multicast groups (rtnetlink(7), netlink(7)).
//
// The kernel drops what doesn't fit into the socket's buffer, and says so once (ENOBUFS). Until the buffer was read empty
// it drops everything else too, without another word (NETLINK_S_CONGESTED in net/netlink/af_netlink.c). So whoever was
// told of a loss reads the whole state afresh, and does so after read() returned kLost: from then on nothing is missed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <libmnl/libmnl.h>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class RtnlEvents {
 public:
  // `groups` are RTNLGRP_* values. `receive_buffer_bytes` is SO_RCVBUF's (socket(7): the kernel doubles it, and
  // net.core.rmem_max limits it); 0 leaves the default.
  static Result<RtnlEvents> open(std::initializer_list<unsigned> groups, size_t receive_buffer_bytes = 0);
  // The same for one group of generic netlink, by the number that the family gave it.
  static Result<RtnlEvents> open_generic(uint32_t group, size_t receive_buffer_bytes = 0);

  // Non-blocking; readable when there is something to read().
  int fd() const { return fd_.get(); }

  enum class Seen {
    kNothing,
    kSome,  // and perhaps more to come: the descriptor is readable then
    kLost   // something was missed, and the buffer has been read empty since: read the state afresh now
  };
  // Hands what has come to `visit`, header by header, and never waits. After a loss it hands on nothing until the buffer
  // is empty, since what it would hand on is older than the state that is read next.
  Result<Seen> read(const std::function<void(const nlmsghdr*)>& visit);

 private:
  explicit RtnlEvents(Fd fd) : fd_(std::move(fd)) {}
  static Result<RtnlEvents> open_on(int protocol, std::initializer_list<unsigned> groups, size_t receive_buffer_bytes);

  Fd fd_;
  bool has_lost_ = false;
};

}  // namespace tapferry
