// SPDX-License-Identifier: MIT
//
// Who is at the other end of a socket, as the kernel wrote it down when he connected; nothing that he said.
#pragma once

#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "helper/privilege.h"

namespace tapferry {

struct Peer {
  Identity who;  // pid: the program that connected; parent: this process
  Fd process;    // of that program, a pidfd; not open before Linux 6.5
};

// The file that a socket is bound to. A connection that was accepted has that of the socket which accepted it.
struct SocketFile {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(const SocketFile&) const = default;
};

// SIOCUNIXFILE (unix(7)), for which CAP_NET_ADMIN is raised; an error for a socket that is bound to no file.
Result<SocketFile> file_of_socket(int socket);

// That `socket` is a connection that a socket bound to `listener` has accepted: whoever passed it could have meant another one, whose
// other end is somebody else's. The listening socket itself, say, has root there, and so has a connection to a daemon of root's.
Status check_accepted(int socket, const SocketFile& listener);

// SO_PEERCRED, SO_PEERGROUPS and SO_PEERPIDFD of a connected AF_UNIX stream socket (unix(7)). Ids are those of this process's own
// user namespace; a user whom it has no number for (the overflow id, 65534) is an error, since all such users look the same.
Result<Peer> identify_peer(int socket);

// Whether the program that connected has ended meanwhile; false where the kernel gives no pidfd.
bool has_ended(const Peer& peer);

}  // namespace tapferry
