// SPDX-License-Identifier: MIT
#include "tools/backend_supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/result.h"
#include "base/syscall.h"
#include "net/child.h"
#include "tools/command.h"

namespace tapferry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A backend that was ready is started again at once. One that can't start is tried again after this time, twice that, ...
constexpr milliseconds kFirstRetry(20);
constexpr unsigned kMaxDoublings = 8;  // about five seconds

constexpr int kEndTimeoutMs = 2000;

// The numbers in a tapferry-vhost.
constexpr int kListenerNumber = 3;
constexpr int kStateNumber = 4;
constexpr int kSupervisorNumber = 5;
constexpr int kFirstTapNumber = 6;

Result<Fd> copy_of(const Fd& fd) {
  Fd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy.is_open()) return Error::from_errno("copy", "a descriptor", errno);
  return copy;
}

Status start(const std::string& program, SupervisedBackend* backend) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("make", "a pipe", errno);
  Fd channel(ends[0]);
  ChildProgram child;
  child.path = program;
  child.resets_signals = true;
  child.descriptors.emplace_back(kSupervisorNumber, Fd(ends[1]));
  child.descriptors.emplace_back(kListenerNumber, TRY(copy_of(backend->listener)));
  child.descriptors.emplace_back(kStateNumber, TRY(copy_of(backend->state)));
  std::string taps;
  for (size_t i = 0; i < backend->taps.size(); ++i) {
    const int number = kFirstTapNumber + static_cast<int>(i);
    child.descriptors.emplace_back(number, TRY(copy_of(backend->taps[i])));
    taps += (i == 0 ? "" : ":") + std::to_string(number);
  }
  child.arguments = {"--fd=" + std::to_string(kListenerNumber), "--tap-fd=" + taps,
                     "--state-fd=" + std::to_string(kStateNumber),
                     "--supervisor-fd=" + std::to_string(kSupervisorNumber)};
  backend->pid = TRY(start_child(std::move(child)));
  backend->process.reset(static_cast<int>(syscall(SYS_pidfd_open, backend->pid, 0)));
  backend->channel = std::move(channel);
  backend->is_ready = false;
  return {};
}

class Supervision {
 public:
  explicit Supervision(Supervisor supervisor, Fd signals)
      : supervisor_(std::move(supervisor)), signals_(std::move(signals)) {}

  void run() {
    while (!is_over_ && !has_failed_) {
      start_due();
      if (!has_failed_) wait();
    }
    end_all();
  }

 private:
  void start_due();
  void wait();
  void see_ready(SupervisedBackend* backend);
  void see_end(SupervisedBackend* backend);
  void retry_later(SupervisedBackend* backend, const std::string& why);
  void report(std::string_view text);
  void end_all();
  int until_next_start_ms() const;

  Supervisor supervisor_;
  Fd signals_;
  bool is_over_ = false;
  bool has_failed_ = false;
};

void Supervision::report(std::string_view text) {
  if (!supervisor_.report.is_open()) return;
  (void)write_all(supervisor_.report.get(), text, "the report").is_ok();
  supervisor_.report.reset();
}

// Before the command runs a failure is its caller's to hear; afterwards it is tried again and again.
void Supervision::retry_later(SupervisedBackend* backend, const std::string& why) {
  backend->pid = -1;
  backend->process.reset();
  backend->channel.reset();
  if (supervisor_.report.is_open()) {
    report(why);
    has_failed_ = true;
    return;
  }
  milliseconds pause(0);
  if (!backend->is_ready) pause = kFirstRetry * (1 << std::min(backend->failures++, kMaxDoublings));
  backend->restart_at = steady_clock::now() + pause;
  log_line(kProgram, "tapferry-vhost of " + backend->ifname + ": " + why + "; it is started again");
}

void Supervision::start_due() {
  for (SupervisedBackend& backend : supervisor_.backends) {
    if (backend.pid >= 0 || backend.restart_at > steady_clock::now()) continue;
    const Status started = start(supervisor_.program, &backend);
    if (!started.is_ok()) {
      backend.is_ready = false;
      retry_later(&backend, started.error().line());
    }
  }
}

int Supervision::until_next_start_ms() const {
  std::optional<steady_clock::time_point> next;
  for (const SupervisedBackend& backend : supervisor_.backends) {
    if (backend.pid < 0) next = std::min(next.value_or(backend.restart_at), backend.restart_at);
  }
  if (!next) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*next - steady_clock::now()).count();
  return static_cast<int>(std::max<long>(left, 0));
}

void Supervision::see_ready(SupervisedBackend* backend) {
  char byte = 0;
  backend->is_ready = read(backend->channel.get(), &byte, 1) == 1;
  if (!backend->is_ready) {  // it has ended, or is about to
    backend->channel.reset();
    return;
  }
  backend->failures = 0;
  const auto& all = supervisor_.backends;
  if (std::all_of(all.begin(), all.end(), [](const SupervisedBackend& one) { return one.is_ready; })) {
    report(kReadyReport);
  }
}

void Supervision::see_end(SupervisedBackend* backend) {
  int wait_status = 0;
  if (waitpid(backend->pid, &wait_status, WNOHANG) != backend->pid) return;
  if (!backend->is_ready) see_ready(backend);
  retry_later(backend, "it ended with " + describe_wait_status(wait_status));
}

void Supervision::wait() {
  std::vector<pollfd> polled = {{supervisor_.lifeline.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  // A negative number is passed over (poll(2)).
  for (const SupervisedBackend& backend : supervisor_.backends) {
    polled.push_back({backend.process.get(), POLLIN, 0});
    polled.push_back({backend.is_ready ? -1 : backend.channel.get(), POLLIN, 0});
  }
  if (poll(polled.data(), polled.size(), until_next_start_ms()) <= 0) return;
  is_over_ = polled[0].revents != 0 || polled[1].revents != 0;
  for (size_t i = 0; i < supervisor_.backends.size(); ++i) {
    SupervisedBackend& backend = supervisor_.backends[i];
    if (polled[3 + 2 * i].revents != 0) see_ready(&backend);
    if (polled[2 + 2 * i].revents != 0) see_end(&backend);
  }
}

void Supervision::end_all() {
  for (SupervisedBackend& backend : supervisor_.backends) {
    unlink(backend.socket_path.c_str());
    if (backend.pid >= 0) kill(backend.pid, SIGTERM);
  }
  unlink((supervisor_.directory + kLogName).c_str());
  rmdir(supervisor_.directory.c_str());
  const auto deadline = steady_clock::now() + milliseconds(kEndTimeoutMs);
  for (SupervisedBackend& backend : supervisor_.backends) {
    if (backend.pid < 0) continue;
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
    pollfd polled = {backend.process.get(), POLLIN, 0};
    const auto wait_ms = static_cast<int>(std::max<long>(left, 0));
    if (retry_on_eintr([&] { return poll(&polled, 1, wait_ms); }) <= 0) kill(backend.pid, SIGKILL);
    retry_on_eintr([&] { return waitpid(backend.pid, nullptr, 0); });
  }
}

// What the process that becomes the command had open isn't ours to hold: a pipe's reader waits for its end.
void let_go(const Supervisor& supervisor) {
  std::vector<int> kept = {STDERR_FILENO, supervisor.lifeline.get(), supervisor.report.get()};
  for (const SupervisedBackend& backend : supervisor.backends) {
    for (const Fd& tap : backend.taps) kept.push_back(tap.get());
    kept.push_back(backend.listener.get());
    kept.push_back(backend.state.get());
  }
  std::sort(kept.begin(), kept.end());
  int next = 3;
  for (const int fd : kept) {
    if (fd > next) close_range(next, fd - 1, 0);
    next = std::max(next, fd + 1);
  }
  close_range(next, ~0U, 0);
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  dup2(null.get(), STDIN_FILENO);
  // What tapferry-vhost prints when it is asked to (SIGUSR1) isn't the command's output.
  dup2(STDERR_FILENO, STDOUT_FILENO);
}

}  // namespace

int supervise(Supervisor supervisor) {
  setsid();  // an interrupt from the terminal is for the command; what follows from it, for us
  let_go(supervisor);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  Fd signal_fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  Supervision(std::move(supervisor), std::move(signal_fd)).run();
  return 0;
}

}  // namespace tapferry
