// SPDX-License-Identifier: MIT
#include "vhost/server.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/syscall.h"
#include "vhost/memory_guard.h"
#include "vhost/program.h"

namespace tapferry {
namespace {

void say(const Error& error) { log_error(kVhostProgram, error); }

// An eventfd or a timerfd: its eight bytes only say that there was something.
void drain(int fd) {
  uint64_t count;
  (void)retry_on_eintr([&] { return read(fd, &count, sizeof count); });
}

// poll(2)'s timeouts, of which -1 is the longest.
int shorter(int a, int b) { return a < 0 || b < 0 ? std::max(a, b) : std::min(a, b); }

// What one round of waiting looks at. A descriptor of -1 is never ready.
class Waiting {
 public:
  size_t add(int fd, short events = POLLIN) {
    polled_.push_back({fd, events, 0});
    return polled_.size() - 1;
  }
  bool is_ready(size_t index) const { return polled_[index].revents != 0; }
  Status wait(int timeout_ms) {
    if (retry_on_eintr([&] { return poll(polled_.data(), polled_.size(), timeout_ms); }) >= 0) return {};
    return Error::from_errno("wait for", "front-ends", errno);
  }

 private:
  std::vector<pollfd> polled_;
};

}  // namespace

Status Server::run() {
  if (!parts_.socket->is_listening()) session_.emplace(parts_.socket->take_connection(), parts_.device, say);
  Status status;
  while (status.is_ok() && !is_over_) status = wait();
  if (session_) end_session(std::nullopt);
  if (!status.is_ok()) return status;
  if (!parts_.socket->is_listening() && last_error_) return *std::move(last_error_);
  return {};
}

Status Server::wait() {
  Waiting waiting;
  const size_t signals = waiting.add(parts_.signals->fd());
  const size_t trouble = waiting.add(parts_.trouble_fd);
  // No events: only that its reader is gone.
  const size_t supervisor = waiting.add(parts_.supervisor_fd, 0);
  const size_t stats = waiting.add(parts_.stats_fd);
  // One front-end at a time: others wait to be accepted.
  const size_t front_end = waiting.add(session_ ? session_->fd() : parts_.socket->fd());
  int timeout_ms = session_ ? session_->timeout_ms() : -1;
  if (parts_.link != nullptr) {
    for (const int fd : parts_.link->fds()) waiting.add(fd);
    timeout_ms = shorter(timeout_ms, parts_.link->timeout_ms());
  }
  TRY(waiting.wait(timeout_ms));
  if (waiting.is_ready(signals)) {
    const Signals::Seen seen = parts_.signals->read();
    is_over_ |= seen.has_stop;
    if (seen.has_dump && parts_.on_dump) parts_.on_dump();
  }
  is_over_ |= waiting.is_ready(supervisor);
  if (waiting.is_ready(trouble)) see_trouble();
  if (waiting.is_ready(stats)) {
    drain(parts_.stats_fd);
    parts_.on_stats();
  }
  if (parts_.link != nullptr) TRY(see_link());
  if (session_) {
    serve_session();
  } else if (waiting.is_ready(front_end) && parts_.socket->is_listening()) {
    TRY(accept());
  }
  return {};
}

Status Server::accept() {
  Fd connection = TRY(parts_.socket->accept());
  // Whoever comes while there is no link goes again, and tries again.
  if (connection.is_open() && may_have_front_end()) session_.emplace(std::move(connection), parts_.device, say);
  return {};
}

void Server::serve_session() {
  auto served = session_->serve();
  if (is_memory_lost()) {
    end_session(Error("serve", "the front-end", "its memory is gone: the file was truncated"));
  } else if (!served.is_ok()) {
    end_session(std::move(served).error());
  } else if (!served.value()) {
    end_session(std::nullopt);
  }
}

void Server::end_session(std::optional<Error> why) {
  if (why) say(*why);
  last_error_ = std::move(why);
  session_.reset();
  parts_.device->forget_front_end();
  reset_lost_memory();
  is_over_ |= !parts_.socket->is_listening();
}

// A thread tells what a guest has done to one of its rings; that ring rests, and the others go on.
void Server::see_trouble() {
  drain(parts_.trouble_fd);
  for (const auto& worker : parts_.device->workers()) {
    if (worker->has_trouble()) log_line(kVhostProgram, worker->take_trouble());
  }
}

Status Server::see_link() {
  LinkStatus& link = *parts_.link;
  const bool had_link = link.has_link();
  TRY(link.read());
  if (link.is_gone()) return Error("serve", link.name(), "the interface was removed");
  if (link.mtu() != parts_.device->abilities().mtu) {
    parts_.device->set_mtu(link.mtu());
    log_line(kVhostProgram, link.name() + " has MTU " + std::to_string(link.mtu()));
  }
  if (link.has_link() == had_link) return {};
  log_line(kVhostProgram, link.name() + (had_link ? " has no link" : " has a link again"));
  if (session_ && !may_have_front_end()) end_session(std::nullopt);
  return {};
}

}  // namespace tapferry
