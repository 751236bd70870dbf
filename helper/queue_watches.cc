// SPDX-License-Identifier: MIT
#include "helper/queue_watches.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kQueueLimit = "/proc/sys/fs/inotify/max_queued_events";
constexpr uint64_t kDefaultQueueLimit = 16384;
// Of a watch come IN_DELETE_SELF and IN_IGNORED.
constexpr size_t kEventsPerWatch = 2;

// With more watches than half of its queue inotify could lose an event, and then a queue would never be seen to go.
size_t most_watches() {
  uint64_t limit = kDefaultQueueLimit;
  const Result<Fd> file = open_file(kQueueLimit, O_RDONLY);
  if (file.is_ok()) {
    const Result<std::string> text = read_all(file.value().get(), 64, kQueueLimit);
    if (text.is_ok()) limit = parse_uint(text.value().substr(0, text.value().find('\n')), 1, 1u << 30).value_or(limit);
  }
  return static_cast<size_t>(limit) / kEventsPerWatch;
}

}  // namespace

QueueWatches::QueueWatches(Fd inotify) : inotify_(std::move(inotify)), most_(most_watches()) {}

Result<QueueWatches> QueueWatches::open() {
  Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify.is_open()) return QueueWatches(std::move(inotify));
  return Error::from_errno("watch", "the queues of macvtaps", errno)
      .with_hint("sysctl fs.inotify.max_user_instances limits the wardens");
}

Result<int> QueueWatches::add(const std::string& path) {
  if (count_ >= most_) {
    return Error("watch", "one more queue", "the warden watches " + std::to_string(count_) + " already")
        .with_hint("sysctl fs.inotify.max_queued_events: raise it, and start again when no macvtap is in use");
  }
  const int watch = inotify_add_watch(inotify_.get(), path.c_str(), IN_DELETE_SELF);
  if (watch < 0) {
    const int code = errno;
    Error error = Error::from_errno("watch", path, code);
    if (code != ENOSPC) return error;
    return std::move(error).with_hint("sysctl fs.inotify.max_user_watches limits the queues");
  }
  ++count_;
  return watch;
}

void QueueWatches::read(const std::function<void(int)>& visit) {
  alignas(inotify_event) char buffer[4096];
  ssize_t n;
  while ((n = ::read(inotify_.get(), buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < n;) {
      inotify_event event;
      memcpy(&event, buffer + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      if (event.mask & IN_IGNORED) --count_;
      if (event.mask & IN_DELETE_SELF) visit(event.wd);
    }
  }
}

}  // namespace tapferry
