// SPDX-License-Identifier: MIT
//
// Everything waits in one poll(2): the kernel's messages, signals, QEMU, and the reader of stdout going away. Nothing is asked
// for periodically. A reader who is slow only makes the kernel drop messages, after which everything is read again.
#include "tools/monitor_watch.h"

#include <cerrno>
#include <csignal>
#include <glib.h>
#include <poll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/syscall.h"
#include "net/link_monitor.h"
#include "tools/command.h"
#include "tools/monitor_guest.h"
#include "tools/monitor_lines.h"
#include "tools/stop_signals.h"

namespace tapferry {
namespace {

class Watch {
 public:
  explicit Watch(const MonitorOptions& options)
      : options_(options),
        selection_(options.names, options.waits),
        lines_(options.has_json, [this](int ifindex) { return name_of(ifindex); }) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  Status open();
  Result<int> run();

 private:
  enum class End { kNotYet, kSignal, kReaderGone, kCondition, kAllGone, kGuestGone };

  std::string name_of(int ifindex) const;
  void take(const LinkChange& change);
  void print(const std::string& line);
  void set_guest(bool is_up);
  Status start();
  Status wait();
  void read_qmp();
  // The first reason counts.
  void end(End how) { end_ = end_ == End::kNotYet ? how : end_; }
  void fail(Error error) { failure_ = failure_ ? std::move(failure_) : std::move(error); }
  bool is_over() const { return end_ != End::kNotYet || failure_; }

  const MonitorOptions& options_;
  Selection selection_;
  MonitorLines lines_;
  StopSignals signals_;
  std::optional<LinkMonitor> monitor_;
  std::optional<GuestLink> guest_;
  End end_ = End::kNotYet;
  std::optional<Error> failure_;
};

Status Watch::open() {
  LinkMonitorOptions options;
  options.receive_buffer_bytes = options_.receive_buffer_bytes;
  options.wants_media = [this](const Link& link) { return selection_.wants(link); };
  monitor_ = TRY(LinkMonitor::open(std::move(options)));
  if (monitor_->media_error()) {
    log_line(kProgram, "speed and duplex are not known here: " + monitor_->media_error()->line());
  }
  if (options_.qmp) guest_.emplace(TRY(Qmp::connect(*options_.qmp)), options_.guest_id);
  return {};
}

Result<int> Watch::run() {
  Status status = start();
  while (status.is_ok() && !is_over()) status = wait();
  if (!status.is_ok()) return std::move(status).error();
  if (failure_) return *std::move(failure_);
  const bool is_in_vain = end_ == End::kAllGone || end_ == End::kGuestGone;
  return is_in_vain && !options_.exit_on.is_empty() ? kExitFailed : kExitDone;
}

std::string Watch::name_of(int ifindex) const {
  const InterfaceState* state = monitor_->table().find(ifindex);
  // One of another network namespace has no name here.
  return state == nullptr ? "" : state->link.name;
}

Status Watch::start() {
  TRY(monitor_->start([this](const LinkChange& change) { take(change); }));
  const std::string* missing = selection_.missing();
  if (missing == nullptr || is_over()) return {};
  if (!options_.waits) {
    return Error::from_errno("monitor", *missing, ENODEV).with_hint("--wait waits for it");
  }
  if (guest_) set_guest(false);
  return {};
}

void Watch::take(const LinkChange& heard) {
  if (is_over()) return;
  const auto change = selection_.select(heard);
  if (!change) return;
  print(lines_.change(*change, g_get_real_time()));
  if (change->kind == LinkChange::Kind::kResynchronised) return;
  if (guest_) set_guest(change->kind != LinkChange::Kind::kRemoved && change->state.has_link());
  if (options_.exit_on.is_met_by(*change)) end(End::kCondition);
  if (selection_.is_over()) end(End::kAllGone);
}

void Watch::set_guest(bool is_up) {
  const auto changed = guest_->set(is_up);
  if (changed.is_ok()) {
    if (changed.value()) print(lines_.guest_link(guest_->id(), is_up, g_get_real_time()));
  } else if (guest_->qmp().has_ended()) {
    print(lines_.guest_gone(guest_->id(), g_get_real_time()));
    end(End::kGuestGone);
  } else {
    fail(changed.error());
  }
}

// In one write, so that a reader never sees half a line of a monitor that has ended.
void Watch::print(const std::string& line) {
  const Status written = write_all(STDOUT_FILENO, line, "stdout");
  if (written.is_ok()) return;
  if (written.error().code() == EPIPE) {
    end(End::kReaderGone);
  } else {
    fail(written.error());
  }
}

Status Watch::wait() {
  std::vector<pollfd> polled = {{signals_.fd(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
  if (guest_) polled.push_back({guest_->qmp().fd(), POLLIN, 0});
  for (const int fd : monitor_->fds()) polled.push_back({fd, POLLIN, 0});
  if (retry_on_eintr([&] { return poll(polled.data(), polled.size(), monitor_->timeout_ms()); }) < 0) {
    return Error::from_errno("wait for", "changes", errno);
  }
  if (polled[0].revents != 0) end(End::kSignal);
  // A pipe or a socket whose reader has gone.
  if ((polled[1].revents & POLLERR) != 0) end(End::kReaderGone);
  // What the interface did comes first: a guest that has gone may have taken it along.
  TRY(monitor_->read([this](const LinkChange& change) { take(change); }));
  if (guest_ && polled[2].revents != 0 && !is_over()) read_qmp();
  return {};
}

void Watch::read_qmp() {
  const Status drained = guest_->qmp().drain();
  if (drained.is_ok()) return;
  print(lines_.guest_gone(guest_->id(), g_get_real_time()));
  end(End::kGuestGone);
}

}  // namespace

Result<int> watch_interfaces(const MonitorOptions& options) {
  signal(SIGPIPE, SIG_IGN);
  Watch watch(options);
  TRY(watch.open());
  return watch.run();
}

}  // namespace tapferry
