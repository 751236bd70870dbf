// SPDX-License-Identifier: MIT
//
// The warden: the one process of tapferry-helper that stays, as long as there is something to watch over in its network
// namespace. A macvtap doesn't go with its last descriptor, so somebody must remove it then; a guest that is locked
// to its MAC address can set that of its interface without any capability, so somebody must look; and a filter that
// follows the host's addresses needs somebody who follows.
//
// Theory of operation. There is one warden for a network namespace, found by an abstract socket name, which is of that
// namespace too. Makers (helper/maker.h) talk to it (net/wire.h) before the interface is made, so that whoever of the
// two is killed, the other one removes what was begun:
//
//   hello NODE          the maker's first word: the node that it will open queues by, one after the other; what is left of it
//                       when the connection ends is removed
//   intend NAME MAC MAC a macvtap of this name is about to be made, with this address at first and that one in the end; if
//                       this connection ends before `keep`, it is deleted
//   queue               watch the node, which a queue is about to be opened by
//   keep INDEX SPEC     the interface is complete; from now on it is the warden's, whatever becomes of the maker
//   node                it gets this one as the node that its user opens it by (helper/user_node.h): when the interface is gone,
//                       nobody must be able to open that
//   stay                it outlives its queues from now on
//   undo                delete it after all
//   adopt INDEX, with descriptors   a macvtap that was another warden's: its nodes (helper/adopt.h)
//
// A queue is gone when its node's inode is: the node was unlinked, so that is when the last descriptor of the open file is
// closed, be it a copy, another process's, in flight in a socket or registered with io_uring. IN_CLOSE can't be counted, since
// inotify merges equal events; an inode goes only once.
//
// It has the uid of the system user tapferry, so that no caller can signal it, CAP_NET_ADMIN, and no file, no stdio
// and no descriptor of any interface. When it is killed all the same (by root, or for want of memory), the next one takes up locks and
// filters by their tags, and tapferryd brings it the macvtaps. Without tapferryd `tapferry doctor --repair` removes those.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Connects this process, which is a maker and opens queues by `node`, to the namespace's warden; starts one if there is none.
// Whoever else listens under its name is recognised by his uid: then a warden is started for this connection alone.
Result<Fd> connect_to_warden(const std::string& node);

// The warden itself, in a process of its own, with one connection from the start, and a listening socket or none. If it can't begin, it
// answers that connection's first message with the reason.
[[noreturn]] void run_warden(Fd connection, Fd listener);

}  // namespace tapferry
