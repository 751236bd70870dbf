// SPDX-License-Identifier: MIT
#include "net/hidden_child.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// All that the keeper needs, made before there is one.
struct Plan {
  std::vector<char*> argv;
  std::vector<std::pair<int, int>> descriptors;  // {number in the program, descriptor here}
  int lifeline = -1;                             // the keeper's end; our end's closing is the order to kill
  int lifeline_number = -1;                      // where the keeper has it, above the program's own
};

// What the keeper says, once, by the lifeline.
struct Report {
  int start_error = 0;  // errno
  int wait_status = 0;
};

void send_report(int lifeline, Report report) {
  retry_on_eintr([&] { return send(lifeline, &report, sizeof report, MSG_NOSIGNAL); });
}

// This process's handlers are code that has no business in a copy of it.
void reset_signals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
}

[[noreturn]] void become(const Plan& plan) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.argv[0], plan.argv.data(), environ);
  // The first report is the one that counts.
  send_report(plan.lifeline_number, {errno, 0});
  _exit(127);
}

// All signals are blocked: the lifeline says when to end.
[[noreturn]] void keep(const Plan& plan) {
  reset_signals();
  for (const auto& [number, source] : plan.descriptors) dup2(source, number);
  dup3(plan.lifeline, plan.lifeline_number, O_CLOEXEC);
  close_range(static_cast<unsigned>(plan.lifeline_number) + 1, ~0U, 0);
  const pid_t pid = vfork();
  if (pid == 0) become(plan);
  if (pid < 0) {
    send_report(plan.lifeline_number, {errno, 0});
    _exit(1);
  }
  pollfd polled[] = {{static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0}, {plan.lifeline_number, POLLIN, 0}};
  retry_on_eintr([&] { return poll(polled, 2, -1); });
  if (polled[0].revents == 0) kill(pid, SIGKILL);
  int wait_status = 0;
  retry_on_eintr([&] { return waitpid(pid, &wait_status, 0); });
  send_report(plan.lifeline_number, {0, wait_status});
  _exit(0);
}

// The keeper's pid, -1 with errno if there is none.
pid_t start_keeper(const Plan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // No flags: a copy as fork(2) makes it, whose end sends no signal.
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, 0, 0, 0, 0, 0));
  if (pid == 0) keep(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// The descriptors' sources go above all numbers of the keeper and the program, so that no copy overwrites another's source.
Status plan_descriptors(ChildProgram* program, Fd* lifeline, Plan* plan) {
  plan->lifeline_number = 3;
  for (const auto& [number, fd] : program->descriptors) {
    plan->lifeline_number = std::max(plan->lifeline_number, number + 1);
  }
  const auto raise = [&](Fd* fd) -> Status {
    const int source = fcntl(fd->get(), F_DUPFD_CLOEXEC, plan->lifeline_number + 1);
    if (source < 0) return Error::from_errno("start", program->path, errno);
    fd->reset(source);
    return {};
  };
  for (auto& [number, fd] : program->descriptors) {
    TRY(raise(&fd));
    plan->descriptors.emplace_back(number, fd.get());
  }
  TRY(raise(lifeline));
  plan->lifeline = lifeline->get();
  return {};
}

std::optional<Report> receive_report(int lifeline) {
  Report report;
  const ssize_t n = retry_on_eintr([&] { return recv(lifeline, &report, sizeof report, MSG_WAITALL); });
  if (n != static_cast<ssize_t>(sizeof report)) return std::nullopt;
  return report;
}

}  // namespace

Result<int> run_hidden_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms) {
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  const std::string path = program.path;
  auto [lifeline, keepers] = TRY(socket_pair(SOCK_STREAM));
  Plan plan;
  plan.argv = {program.path.data()};
  for (std::string& argument : program.arguments) plan.argv.push_back(argument.data());
  plan.argv.push_back(nullptr);
  TRY(plan_descriptors(&program, &keepers, &plan));
  const pid_t keeper = start_keeper(plan);
  if (keeper < 0) return Error::from_errno("start", path, errno);
  program.descriptors.clear();
  keepers.reset();

  const bool has_ended = watch_outputs(lifeline.get(), std::move(outputs), deadline);
  if (!has_ended) shutdown(lifeline.get(), SHUT_WR);
  const std::optional<Report> report = receive_report(lifeline.get());
  // Somebody who waits for clones too may have been faster: it makes no difference.
  retry_on_eintr([&] { return waitpid(keeper, nullptr, __WALL); });
  if (!report) return Error("wait for", path, "the process that watched it was killed");
  if (report->start_error != 0) return Error::from_errno("start", path, report->start_error);
  if (!has_ended) return took_too_long(path, timeout_ms);
  return report->wait_status;
}

}  // namespace tapferry
