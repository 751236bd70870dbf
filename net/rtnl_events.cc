// SPDX-License-Identifier: MIT
#include "net/rtnl_events.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kObject = "a netlink socket for events";
// Messages of one read(): whoever polls several descriptors gets back to the others.
constexpr int kMaxMessages = 1024;
// As much as the kernel fills for one read of a dump (netlink_recvmsg()); a single event is smaller.
constexpr size_t kReceiveSize = 32768;

}  // namespace

Result<RtnlEvents> RtnlEvents::open(std::initializer_list<unsigned> groups, size_t receive_buffer_bytes) {
  return open_on(NETLINK_ROUTE, groups, receive_buffer_bytes);
}

Result<RtnlEvents> RtnlEvents::open_generic(uint32_t group, size_t receive_buffer_bytes) {
  return open_on(NETLINK_GENERIC, {group}, receive_buffer_bytes);
}

Result<RtnlEvents> RtnlEvents::open_on(int protocol, std::initializer_list<unsigned> groups,
                                       size_t receive_buffer_bytes) {
  RtnlEvents events(Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol)));
  if (!events.fd_.is_open()) return Error::from_errno("open", kObject, errno);
  if (receive_buffer_bytes != 0) {
    const int bytes = static_cast<int>(std::min<size_t>(receive_buffer_bytes, INT_MAX));
    if (setsockopt(events.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0) {
      return Error::from_errno("set the receive buffer of", kObject, errno);
    }
  }
  sockaddr_nl own = {};
  own.nl_family = AF_NETLINK;
  if (bind(events.fd(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
    return Error::from_errno("bind", kObject, errno);
  }
  for (const unsigned group : groups) {
    if (setsockopt(events.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return Error::from_errno("join group " + std::to_string(group) + " with", kObject, errno);
    }
  }
  return events;
}

Result<RtnlEvents::Seen> RtnlEvents::read(const std::function<void(const nlmsghdr*)>& visit) {
  alignas(nlmsghdr) static thread_local char buffer[kReceiveSize];
  Seen seen = Seen::kNothing;
  for (int count = 0; count < kMaxMessages; ++count) {
    sockaddr_nl sender = {};
    iovec part = {buffer, sizeof buffer};
    msghdr message = {};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t n = retry_on_eintr([&] { return recvmsg(fd_.get(), &message, MSG_DONTWAIT); });
    if (n < 0 && errno == EAGAIN) return std::exchange(has_lost_, false) ? Seen::kLost : seen;
    if (n < 0 && errno != ENOBUFS) return Error::from_errno("read from", kObject, errno);
    // A message that was cut is as good as lost.
    if (n < 0 || (message.msg_flags & MSG_TRUNC) != 0) has_lost_ = true;
    // Other processes may be able to send here; only the kernel is believed.
    if (n < 0 || has_lost_ || message.msg_namelen != sizeof sender || sender.nl_pid != 0) continue;
    seen = Seen::kSome;
    int left = static_cast<int>(n);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
      visit(header);
    }
  }
  return seen;
}

}  // namespace tapferry
