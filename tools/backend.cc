// SPDX-License-Identifier: MIT
#include "tools/backend.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"
#include "net/child.h"
#include "tools/backend_supervisor.h"

namespace tapferry {
namespace {

// A kilobyte for each of 64 queues' state is plenty (tapferry-vhost(8), --state-fd).
constexpr off_t kStateBytes = 64 << 10;

constexpr int kStartTimeoutMs = 15000;
constexpr size_t kMaxReport = 4096;
constexpr size_t kMaxLog = 1 << 20;

// Where sockets of a user's processes belong (XDG Base Directory Specification); /tmp where there is no session.
Result<std::string> make_directory() {
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  const bool has_runtime = runtime != nullptr && runtime[0] == '/' && access(runtime, W_OK | X_OK) == 0;
  std::string path = std::string(has_runtime ? runtime : "/tmp") + "/tapferry-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return Error::from_errno("make", path, errno);
  return path;
}

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error("listen at", path, "the path is too long for a socket")
        .with_hint("set XDG_RUNTIME_DIR to a shorter one");
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.is_open() || bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket_fd.get(), 1) != 0) {
    return Error::from_errno("listen at", path, errno);
  }
  return socket_fd;
}

Result<Fd> make_log(const std::string& path) {
  Fd log(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
  if (!log.is_open()) return Error::from_errno("make", path, errno);
  return log;
}

Result<Fd> make_state() {
  Fd state(memfd_create("tapferry-vhost-state", MFD_CLOEXEC));
  if (!state.is_open() || ftruncate(state.get(), kStateBytes) != 0) {
    return Error::from_errno("make", "the memory for the queues' state", errno);
  }
  return state;
}

Result<std::vector<SupervisedBackend>> prepare(const std::string& directory, std::vector<BackendJob> jobs) {
  std::vector<SupervisedBackend> backends;
  for (BackendJob& job : jobs) {
    SupervisedBackend backend;
    backend.ifname = job.ifname;
    backend.taps = std::move(job.taps);
    backend.socket_path = directory + "/" + std::to_string(backends.size()) + ".sock";
    backend.listener = TRY(listen_at(backend.socket_path));
    backend.state = TRY(make_state());
    backends.push_back(std::move(backend));
  }
  return backends;
}

void remove_directory(const std::string& directory, size_t socket_count) {
  unlink((directory + kLogName).c_str());
  for (size_t i = 0; i < socket_count; ++i) unlink((directory + "/" + std::to_string(i) + ".sock").c_str());
  rmdir(directory.c_str());
}

// "ready", or why not.
Status wait_for_report(int report) {
  std::string text;
  pollfd polled = {report, POLLIN, 0};
  int ready = 0;
  while ((ready = retry_on_eintr([&] { return poll(&polled, 1, kStartTimeoutMs); })) > 0) {
    if (!read_text(report, kMaxReport, &text)) break;
  }
  if (ready == 0) return Error::from_errno("start", "tapferry-vhost", ETIMEDOUT);
  if (text == kReadyReport) return {};
  return Error("start", "tapferry-vhost", text.empty() ? "its supervisor ended" : text);
}

// The last line of what was said; empty when there was none.
std::string last_words(const std::string& path) {
  const auto log = open_file(path, O_RDONLY);
  if (!log.is_ok()) return "";
  const auto text = read_all(log.value().get(), kMaxLog, path);
  if (!text.is_ok()) return "";
  std::string_view words = text.value();
  while (words.ends_with('\n')) words.remove_suffix(1);
  return std::string(words.substr(words.rfind('\n') + 1));
}

// The supervisor is no child of this process's, and so none of the command's.
Status fork_supervisor(Supervisor supervisor, const Fd& log) {
  const pid_t child = fork();
  if (child < 0) return Error::from_errno("start", "the supervisor of tapferry-vhost", errno);
  if (child == 0) {
    const pid_t own = fork();
    if (own == 0) {
      if (log.is_open()) dup2(log.get(), STDERR_FILENO);
      _exit(supervise(std::move(supervisor)));
    }
    _exit(own > 0 ? 0 : 1);
  }
  int wait_status = 0;
  retry_on_eintr([&] { return waitpid(child, &wait_status, 0); });
  if (wait_status != 0) return Error::from_errno("start", "the supervisor of tapferry-vhost", EAGAIN);
  return {};
}

Result<std::pair<Fd, Fd>> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("make", "a pipe", errno);
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

Result<RunningBackends> start_in(const std::string& directory, const std::string& program, std::vector<BackendJob> jobs,
                                 BackendLog where) {
  Fd log;
  if (where == BackendLog::kFile) log = TRY(make_log(directory + kLogName));
  Supervisor supervisor;
  supervisor.program = program;
  supervisor.directory = directory;
  supervisor.backends = TRY(prepare(directory, std::move(jobs)));
  auto [lifeline_read, lifeline_write] = TRY(make_pipe());
  auto [report_read, report_write] = TRY(make_pipe());
  supervisor.lifeline = std::move(lifeline_read);
  supervisor.report = std::move(report_write);
  RunningBackends running;
  for (const SupervisedBackend& backend : supervisor.backends) running.sockets.push_back(backend.socket_path);
  TRY(fork_supervisor(std::move(supervisor), log));
  Status ready = wait_for_report(report_read.get());
  if (!ready.is_ok()) {
    const std::string words = last_words(directory + kLogName);
    return words.empty() ? std::move(ready).error() : std::move(ready).error().with_detail(words);
  }
  running.lifeline = std::move(lifeline_write);
  return running;
}

}  // namespace

Result<RunningBackends> start_backends(const std::string& program, std::vector<BackendJob> jobs, BackendLog log) {
  const std::string directory = TRY(make_directory());
  const size_t count = jobs.size();
  auto running = start_in(directory, program, std::move(jobs), log);
  if (!running.is_ok()) remove_directory(directory, count);
  return running;
}

}  // namespace tapferry
