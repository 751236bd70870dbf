// SPDX-License-Identifier: MIT
//
// The node /dev/tap<index> of a macvtap that was granted with persist=on: by it the user opens the interface again without the
// helper, and so does libvirt in his session, which knows no other name.
//
// Theory of operation. The kernel makes that node itself, root's alone, in the one devtmpfs of the host, whichever network
// namespace the interface is in; and when the interface goes, however that comes, it takes every permission off the
// node's inode before it unlinks it (drivers/base/devtmpfs.c, handle_remove()). So the user gets an entry in that node's access
// control list, and nothing has to be undone.
//
// Where /dev is no devtmpfs (in a container) there is no such node, and we make one, which nobody removes with the interface. A
// number is soon another interface's, so whoever could still open the node, by its name or by a descriptor that was opened with
// O_PATH, would have that one. Therefore the warden knows the node before any user can open it, and takes all
// permissions off it when the interface is gone; it can, being the same user. What is left then is a name that opens nothing: the
// next node of that name takes its place, and `tapferry doctor --repair` removes it. `tapferry release` leaves none.
//
// A node of another number under that name is of an interface in another network namespace, and stays as it is.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

std::string user_node_path(int index);

enum class UserNode {
  kAbsent,
  kKernels,  // the kernel's own, with the interface's number
  kStale,    // of our making, for an interface that is gone
};

// What there is now for a new macvtap with this index and number. An error: somebody else's. So is one of that number that
// the kernel has not made, since it wouldn't remove it with the interface.
Result<UserNode> look_at_user_node(int index, dev_t device);

// Lets `uid` open it. `temporary` is a path for open_queue(), which nothing has; `watch` has the warden note the node there.
// If it fails there is no node that was not there before.
Status make_user_node(Rtnl& rtnl, const std::string& temporary, int index, dev_t device, uid_t uid,
                      const std::function<Status()>& watch);

// Whether there is one of our making that opens this very interface.
bool has_own_user_node(const Link& link);

// Takes all permissions off the node of our making with this index, and gives them back. Needs nothing.
Status close_user_node(int index);
void reopen_user_node(int index);

// For the warden, which knows it by its inode: whoever has made a node of that name since has another one.
Result<ino_t> inode_of(const std::string& node);
void close_user_node(int index, std::optional<ino_t> inode);

// Removes it if it is closed.
Status remove_closed_user_node(Rtnl& rtnl, int index);

// Whether the file system with the number `device` (st_dev) is a devtmpfs, by the text of /proc/self/mountinfo, proc(5).
bool is_devtmpfs(std::string_view mountinfo, dev_t device);
Result<bool> is_on_devtmpfs(dev_t device);

// The value of system.posix_acl_access that lets `uid` read and write besides whom `mode` lets: acl(5), <linux/posix_acl_xattr.h>.
std::string acl_with_user(mode_t mode, uid_t uid);

}  // namespace tapferry
