// SPDX-License-Identifier: MIT
#include "helper/queue_node.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/privileged_macvtap.h"

namespace tapferry {

Result<std::string> fresh_node_path() {
  unsigned char bytes[8];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return Error::from_errno("get", "random bytes", errno);
  std::string path = std::string(kNodeDirectory) + "/";
  for (const unsigned char byte : bytes) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", byte);
    path += digits;
  }
  return path;
}

bool is_node_path(std::string_view path) {
  return consume_prefix(&path, std::string(kNodeDirectory) + "/") && path.find('/') == std::string_view::npos;
}

namespace {

Result<Fd> watch_and_open(const std::string& path, const std::function<Status()>& watch) {
  TRY(watch());
  Result<Fd> queue = open_file(path, O_RDWR | O_NONBLOCK);
  if (!queue.is_ok() && queue.error().code() == EACCES) {
    return std::move(queue).error().with_hint("is /dev mounted nodev, or a device cgroup in the way?");
  }
  return queue;
}

}  // namespace

Result<Fd> open_queue(Rtnl& rtnl, const std::string& path, dev_t device, const std::function<Status()>& watch) {
  TRY(perform(rtnl, MakeNodeDirectory{}));
  TRY(perform(rtnl, MakeQueueNode{path, device}));
  Result<Fd> queue = watch_and_open(path, watch);
  if (unlink(path.c_str()) != 0) return Error::from_errno("remove the node", path, errno);
  return queue;
}

}  // namespace tapferry
