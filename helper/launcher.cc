// SPDX-License-Identifier: MIT
#include "helper/launcher.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"
#include "net/spec.h"

namespace tapferry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// More than tapferry-broker ever asks for at once (kMostRuns in broker/launches.cc).
constexpr size_t kMostHelpers = 64;
// Longer than anything that a helper waits for: its maker, the warden, syslog, a full socket.
constexpr auto kHelperTimeout = milliseconds(30000);
// Where the helper finds its socket.
constexpr int kHelpersSocket = 3;

// What may be asked for: the option that takes the text, and one before it. A verb whose result goes to a socket also gets
// --fd=3, others write it to stdout.
struct Verb {
  const char* name;
  const char* before;  // may be null
  const char* option;
  bool has_socket;
};
constexpr Verb kVerbs[] = {
    {"open", nullptr, "--net=", true},
    {"explain", "--explain", "--net=", false},
    {"release", nullptr, "--release=", false},
    {"up", nullptr, "--up=", false},
};

struct Request {
  std::string id;
  const Verb* verb = nullptr;
  std::string text;
  Fd client;
  Fd result;
  Fd words;
};

Result<Request> read_request(WireMessage message) {
  const auto wrong = [] { return Error::from_errno("understand", "tapferry-broker", EBADMSG); };
  if (message.fields.size() != 4 || message.fields[0] != "run" || message.fds.size() != 3) return wrong();
  const auto* verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                  [&](const Verb& known) { return message.fields[2] == known.name; });
  if (verb == std::end(kVerbs) || message.fields[3].size() > kMaxSpecLength) return wrong();
  return Request{message.fields[1],         verb,
                 message.fields[3],         std::move(message.fds[0]),
                 std::move(message.fds[1]), std::move(message.fds[2])};
}

// As the kernel does it for a setuid root program: everything is the caller's but the effective and saved uid, which stay 0.
bool take_ids(const Identity& who) {
  return setgroups(who.groups.size(), who.groups.data()) == 0 && setresgid(who.gid, who.gid, who.gid) == 0 &&
         setresuid(who.uid, 0, 0) == 0;
}

// Descriptors 0 to 3 are what the helper needs, and nothing else is left open.
bool place_descriptors(const Request& request) {
  constexpr int kAbove = 16;
  const int null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, kAbove);
  const int result = fcntl(request.result.get(), F_DUPFD_CLOEXEC, kAbove);
  const int words = fcntl(request.words.get(), F_DUPFD_CLOEXEC, kAbove);
  if (null < 0 || result < 0 || words < 0) return false;
  const bool has_socket = request.verb->has_socket;
  return dup2(null, 0) >= 0 && dup2(has_socket ? null : result, 1) >= 0 && dup2(words, 2) >= 0 &&
         dup2(has_socket ? result : null, kHelpersSocket) >= 0 && close_range(kHelpersSocket + 1, ~0u, 0) == 0;
}

[[noreturn]] void become_helper(const std::string& helper, const Identity& who, const Request& request) {
  std::vector<std::string> words = {helper};
  if (request.verb->before != nullptr) words.emplace_back(request.verb->before);
  words.push_back(request.verb->option + request.text);
  if (request.verb->has_socket) words.push_back("--fd=" + std::to_string(kHelpersSocket));
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  if (place_descriptors(request) && take_ids(who)) execve(helper.c_str(), argv.data(), environment);
  const std::string line = "tapferryd: " + Error::from_errno("start", helper, errno).line() + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
  _exit(127);
}

// The reason fits into a message.
std::string short_line(const Error& error) { return error.line().substr(0, 1024); }

}  // namespace

Result<Launcher::Run> Launcher::start(WireMessage message) {
  const Request request = TRY(read_request(std::move(message)));
  Run run;
  run.id = request.id;
  run.event = {static_cast<uid_t>(-1), 0, 0, request.verb->name, request.text, ""};
  const auto refuse = [&](const Error& why) -> Result<Run> {
    run.event.outcome = why.line();
    log_.write(run.event);
    TRY(send_fields(channel_.get(), {"refused", run.id, short_line(why)}));
    return std::move(run);
  };
  const Status accepted = check_accepted(request.client.get(), listener_);
  if (!accepted.is_ok()) return refuse(accepted.error());
  const Result<Peer> peer = identify_peer(request.client.get());
  if (!peer.is_ok()) return refuse(peer.error());
  run.event.uid = peer.value().who.uid;
  run.event.client = peer.value().who.pid;
  if (has_ended(peer.value())) return refuse(Error("serve", "a client", "the program that connected has ended"));
  if (runs_.size() >= kMostHelpers) return refuse(Error::from_errno("start", helper_, EAGAIN));
  const pid_t child = fork();
  if (child < 0) return refuse(Error::from_errno("start", helper_, errno));
  if (child == 0) become_helper(helper_, peer.value().who, request);
  run.event.helper = child;
  run.process = Fd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  run.deadline = steady_clock::now() + kHelperTimeout;
  return run;
}

// An error: tapferry-broker is gone, or isn't itself any more.
Status Launcher::take_request() {
  WireMessage message = TRY(receive_fields(channel_.get(), 0));
  if (message.fields.empty()) return Error("serve", "clients", "tapferry-broker has ended");
  Run run = TRY(start(std::move(message)));
  if (run.event.helper != 0) runs_.push_back(std::move(run));
  return {};
}

void Launcher::look_at_runs() {
  const auto now = steady_clock::now();
  std::erase_if(runs_, [&](Run& run) {
    int status = 0;
    const pid_t ended = waitpid(run.event.helper, &status, WNOHANG);
    if (ended == 0 && now >= run.deadline && !run.is_killed) {
      kill(run.event.helper, SIGKILL);
      run.is_killed = true;
    }
    if (ended == 0) return false;
    run.event.outcome = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "done" : "failed";
    log_.write(run.event);
    adoption_.look_for_warden();
    // If that can't be sent tapferry-broker is gone, which serve() sees.
    (void)send_fields(channel_.get(), {"ended", run.id, std::to_string(status)}).is_ok();
    return true;
  });
}

int Launcher::ms_to_next_deadline() const {
  if (runs_.empty()) return adoption_.ms_to_next();
  const auto next = std::min_element(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) {
                      return a.deadline < b.deadline;
                    })->deadline;
  const auto left = std::chrono::duration_cast<milliseconds>(next - steady_clock::now()).count();
  // One that was killed and can't end yet is looked at again from time to time.
  const int helpers = static_cast<int>(std::max<long>(left, 100));
  const int adoption = adoption_.ms_to_next();
  return adoption < 0 ? helpers : std::min(helpers, adoption);
}

Status Launcher::serve(int signals) {
  for (;;) {
    std::vector<pollfd> polled = {{channel_.get(), POLLIN, 0}, {signals, POLLIN, 0}};
    for (const Run& run : runs_) polled.push_back({run.process.get(), POLLIN, 0});
    adoption_.add_polled(&polled);
    const int ready = poll(polled.data(), polled.size(), ms_to_next_deadline());
    if (ready < 0 && errno != EINTR) return Error::from_errno("wait for", "requests", errno);
    if (polled[1].revents) return {};
    look_at_runs();
    adoption_.look();
    if (polled[0].revents) TRY(take_request());
  }
}

}  // namespace tapferry
