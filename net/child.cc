// SPDX-License-Identifier: MIT
#include "net/child.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A process that ignores SIGCHLD never sees its children's status (waitpid(2), NOTES). The caller's disposition comes
// back at the end, since the program that this process becomes inherits it.
class DefaultSigchld {
 public:
  DefaultSigchld() {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, &before_);
  }
  ~DefaultSigchld() { sigaction(SIGCHLD, &before_, nullptr); }
  DefaultSigchld(const DefaultSigchld&) = delete;
  DefaultSigchld& operator=(const DefaultSigchld&) = delete;

 private:
  struct sigaction before_ = {};
};

class Attributes {
 public:
  explicit Attributes(bool resets_signals) {
    posix_spawnattr_init(&attributes_);
    if (!resets_signals) return;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// Reads every output that has something; those at their end leave the list.
void read_ready(const std::vector<pollfd>& polled, std::vector<ChildOutput>* outputs) {
  std::erase_if(*outputs, [&](const ChildOutput& output) {
    const auto entry =
        std::find_if(polled.begin(), polled.end(), [&](const pollfd& one) { return one.fd == output.fd; });
    return entry != polled.end() && entry->revents != 0 && !output.on_readable();
  });
}

// False when the time is up before the process has ended.
bool watch(int pidfd, std::vector<ChildOutput>* outputs, steady_clock::time_point deadline) {
  bool has_ended = false;
  for (;;) {
    std::vector<pollfd> polled;
    for (const ChildOutput& output : *outputs) polled.push_back({output.fd, POLLIN, 0});
    if (!has_ended) polled.push_back({pidfd, POLLIN, 0});
    const auto left = duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) return has_ended;
    // After the end only what lies ready is read: a child of the child may hold an output open.
    const int wait_ms = has_ended ? 0 : static_cast<int>(left);
    const int ready = poll(polled.data(), polled.size(), wait_ms);
    if (ready < 0 && errno != EINTR) return has_ended;
    if (has_ended && ready <= 0) return true;
    if (ready <= 0) continue;
    has_ended = has_ended || polled.back().revents != 0;
    read_ready(polled, outputs);
  }
}

}  // namespace

Result<pid_t> start_child(ChildProgram program) {
  const Attributes attributes(program.resets_signals);
  FileActions actions;
  int first_closed = 3;
  for (const auto& [number, fd] : program.descriptors) first_closed = std::max(first_closed, number + 1);
  for (auto& [number, fd] : program.descriptors) {
    // Above all of the child's numbers, so that no copy overwrites another's source.
    const int source = fcntl(fd.get(), F_DUPFD_CLOEXEC, first_closed);
    if (source < 0) return Error::from_errno("start", program.path, errno);
    fd.reset(source);
    posix_spawn_file_actions_adddup2(actions.get(), source, number);
  }
  posix_spawn_file_actions_addclosefrom_np(actions.get(), first_closed);
  std::vector<char*> argv = {program.path.data()};
  for (std::string& argument : program.arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int code = posix_spawn(&pid, program.path.c_str(), actions.get(), attributes.get(), argv.data(), environ);
  if (code != 0) return Error::from_errno("start", program.path, code);
  return pid;
}

Result<int> run_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms) {
  const DefaultSigchld sigchld;
  const std::string path = program.path;
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  // Moved into start_child(), so that the child's ends are closed here when it returns.
  const pid_t pid = TRY(start_child(std::move(program)));
  // glibc 2.36 declares pidfd_open() for C only.
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const bool has_ended = pidfd.is_open() && watch(pidfd.get(), &outputs, deadline);
  if (!has_ended) kill(pid, SIGKILL);
  int wait_status = 0;
  if (retry_on_eintr([&] { return waitpid(pid, &wait_status, 0); }) != pid) {
    return Error::from_errno("wait for", path, errno);
  }
  if (!pidfd.is_open()) return Error("watch", path, "this kernel has no pidfd_open");
  if (!has_ended) {
    return Error::from_errno("wait for", path, ETIMEDOUT)
        .with_detail("killed after " + std::to_string(timeout_ms / 1000) + " s");
  }
  return wait_status;
}

Result<std::pair<Fd, Fd>> text_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("make", "a pipe", errno);
  std::pair<Fd, Fd> pair{Fd(ends[0]), Fd(ends[1])};
  // The reading end only: the other is the child's stderr.
  TRY(set_nonblocking(ends[0], true));
  return pair;
}

bool read_text(int fd, size_t limit, std::string* text) {
  char buffer[4096];
  const ssize_t n = retry_on_eintr([&] { return read(fd, buffer, sizeof buffer); });
  if (n <= 0) return n < 0 && errno == EAGAIN;
  const size_t room = limit - std::min(limit, text->size());
  text->append(buffer, std::min(static_cast<size_t>(n), room));
  return true;
}

std::string without_newline(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string describe_wait_status(int wait_status) {
  if (WIFEXITED(wait_status)) return "status " + std::to_string(WEXITSTATUS(wait_status));
  const int number = WTERMSIG(wait_status);
  const char* name = sigdescr_np(number);
  return "signal " + std::to_string(number) + " (" + (name != nullptr ? name : "unknown") + ")";
}

}  // namespace tapferry
