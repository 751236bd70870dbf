// SPDX-License-Identifier: MIT
//
// How the warden hears of a queue's end: by the end of the inode of the unlinked node that it was opened through (inotify(7),
// IN_DELETE_SELF), which comes when the last descriptor of the open file is closed, wherever that is.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class QueueWatches {
 public:
  static Result<QueueWatches> open();

  // Readable when there is something to read().
  int fd() const { return inotify_.get(); }

  // Watches the node that `path` leads to; the watch's number.
  Result<int> add(const std::string& path);

  // Calls `visit` with the number of each watch whose node is gone since.
  void read(const std::function<void(int)>& visit);

 private:
  explicit QueueWatches(Fd inotify);

  Fd inotify_;
  size_t most_;
  size_t count_ = 0;
};

}  // namespace tapferry
