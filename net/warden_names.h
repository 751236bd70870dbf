// SPDX-License-Identifier: MIT
//
// Under which names the helper's warden can be found, and what it may leave behind if it is killed (docs/PRIVILEGE.md).
#pragma once

#include <string_view>

namespace tapferry {

// The abstract name that it listens under (unix(7)), SOCK_SEQPACKET: of the network namespace, gone with its socket.
inline constexpr std::string_view kWardenName("\0tapferry-warden", 16);

// Where the nodes are through which queues of macvtaps are opened. On /dev, since devices can't be opened on a file system that is
// mounted nodev, as /run and /tmp are; the user tapferry's alone, so that the warden can remove a node without a
// capability.
inline constexpr const char* kNodeDirectory = "/dev/tapferry";

}  // namespace tapferry
