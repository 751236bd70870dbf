// SPDX-License-Identifier: MIT
//
// Opening a queue of a macvtap: through a node of our own that nobody else can find by a name, and that is unlinked at once.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "net/rtnl.h"

namespace tapferry {

// A path that nothing has yet, for open_queue(); and whether a path can be such a one.
Result<std::string> fresh_node_path();
bool is_node_path(std::string_view path);

// Makes the node `path`, calls `watch` before anything is open, opens it non-blocking, unlinks it. The node's inode is gone
// when the queue's last descriptor is, wherever that went, which is what a watch hears of (inotify(7), IN_DELETE_SELF).
Result<Fd> open_queue(Rtnl& rtnl, const std::string& path, dev_t device, const std::function<Status()>& watch);

}  // namespace tapferry
