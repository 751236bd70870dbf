// SPDX-License-Identifier: MIT
//
// How long a hand-over takes, as QEMU sees it: from the vfork that starts the helper until the descriptor is here and the helper
// has been waited for. Several helpers take turns, so that whatever else the machine does hits them alike.
//
//   handover --uid=UID --rounds=N CALL...    in turn, one at a time
//   handover --uid=UID --hold=N CALL...      N of the first call, then N of the next, all held until the last
//
// A CALL is a helper and its arguments but --fd, with `;' between: /path/helper;--use-vnet;--br=br0. One that begins with `+'
// is started and waited for only, to show what a process costs. Prints `CALL NAME median_us p10_us p90_us' for each, or with
// --hold `CALL NAME first_us last_us', medians over the first and last fifty.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/fd.h"
#include "base/fd_pass.h"
#include "base/parse.h"
#include "base/syscall.h"

namespace {

using Clock = std::chrono::steady_clock;
using tapferry::Fd;

constexpr size_t kWindow = 50;
constexpr unsigned kRoundsHeld = 10;
constexpr auto kPause = std::chrono::milliseconds(200);

struct Call {
  std::string text;
  bool is_bare = false;
  std::vector<std::string> words;
};

Call parse_call(std::string_view text) {
  Call call;
  call.text = text;
  call.is_bare = tapferry::consume_prefix(&text, "+");
  for (const std::string_view word : tapferry::split(text, ';')) call.words.emplace_back(word);
  return call;
}

[[noreturn]] void fail(const Call& call, const char* what) {
  fprintf(stderr, "handover: %s: %s\n", call.text.c_str(), what);
  exit(1);
}

// Nothing between vfork and exec allocates, since the child runs in this process's memory.
pid_t start(char* const arguments[], uid_t uid) {
  const pid_t child = vfork();
  if (child != 0) return child;
  if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) _exit(126);
  execv(arguments[0], arguments);
  _exit(127);
}

// Microseconds; what was received goes to `held`.
double one(const Call& call, uid_t uid, std::vector<Fd>* held) {
  auto pair = tapferry::socket_pair(SOCK_STREAM);
  if (!pair.is_ok()) fail(call, "no socket pair");
  auto [ours, theirs] = std::move(pair).value();
  const Fd inherited(dup(theirs.get()));
  theirs.reset();
  std::vector<std::string> words = call.words;
  if (!call.is_bare) words.push_back("--fd=" + std::to_string(inherited.get()));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  const auto begin = Clock::now();
  const pid_t child = start(arguments.data(), uid);
  tapferry::ReceivedMessage message;
  if (!call.is_bare) {
    auto received = tapferry::receive_with_fds(ours.get(), 4096);
    if (received.is_ok()) message = std::move(received).value();
  }
  int status = -1;
  waitpid(child, &status, 0);
  const double took = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  if (status != 0) fail(call, "the helper failed");
  if (!call.is_bare && message.fds.empty()) fail(call, "no descriptor came");
  for (Fd& fd : message.fds) held->push_back(std::move(fd));
  return took;
}

double percentile(std::vector<double> times, unsigned percent) {
  std::sort(times.begin(), times.end());
  return times[(times.size() - 1) * percent / 100];
}

// Interfaces are let go ten rounds at a time, with a pause behind: taking one down keeps the kernel busy for ten milliseconds, and
// would be counted against whoever comes next.
void take_turns(const std::vector<Call>& calls, uid_t uid, unsigned rounds) {
  std::vector<std::vector<double>> times(calls.size());
  std::vector<Fd> held;
  for (unsigned round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) times[i].push_back(one(calls[i], uid, &held));
    if (round % kRoundsHeld != kRoundsHeld - 1) continue;
    held.clear();
    std::this_thread::sleep_for(kPause);
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    printf("%s %.0f %.0f %.0f\n", calls[i].text.c_str(), percentile(times[i], 50), percentile(times[i], 10),
           percentile(times[i], 90));
  }
}

void hold(const std::vector<Call>& calls, uid_t uid, unsigned count) {
  for (const Call& call : calls) {
    std::vector<Fd> held;
    std::vector<double> times;
    for (unsigned i = 0; i < count; ++i) times.push_back(one(call, uid, &held));
    const std::vector<double> first(times.begin(), times.begin() + kWindow);
    const std::vector<double> last(times.end() - kWindow, times.end());
    printf("%s %.0f %.0f\n", call.text.c_str(), percentile(first, 50), percentile(last, 50));
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  uint64_t uid = 0, rounds = 0, held = 0;
  std::vector<Call> calls;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    uint64_t* number = nullptr;
    if (tapferry::consume_prefix(&word, "--uid=")) number = &uid;
    else if (tapferry::consume_prefix(&word, "--rounds="))
      number = &rounds;
    else if (tapferry::consume_prefix(&word, "--hold="))
      number = &held;
    if (number != nullptr) *number = tapferry::parse_uint(word, 1, 1000000).value_or(0);
    else
      calls.push_back(parse_call(word));
  }
  if (uid == 0 || calls.empty() || (rounds == 0) == (held == 0) || (held != 0 && held < 2 * kWindow)) {
    fprintf(stderr, "Usage: handover --uid=UID (--rounds=N | --hold=N) CALL...\n");
    return 2;
  }
  const rlimit many = {65536, 65536};
  setrlimit(RLIMIT_NOFILE, &many);
  if (rounds != 0) take_turns(calls, static_cast<uid_t>(uid), static_cast<unsigned>(rounds));
  else
    hold(calls, static_cast<uid_t>(uid), static_cast<unsigned>(held));
  return 0;
}
