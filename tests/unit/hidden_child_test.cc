// SPDX-License-Identifier: MIT
//
// What a host process may do with signals and children while a program runs that it isn't to notice.
#include "net/hidden_child.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "net/ask.h"

namespace tapferry {
namespace {

using std::chrono::steady_clock;

constexpr int kTimeoutMs = 60000;

struct Outcome {
  Result<int> ended;
  std::string words;
};

Outcome run(const std::string& script, int timeout_ms = kTimeoutMs, const char* program = "/bin/sh") {
  auto [ours, childs] = text_pipe().value();
  ChildProgram child = {program, {"-c", script}, {}};
  child.descriptors.emplace_back(STDERR_FILENO, std::move(childs));
  std::string words;
  const auto read_words = [&, fd = ours.get()] { return read_text(fd, 4096, &words); };
  Result<int> ended = run_hidden_child(std::move(child), {{ours.get(), read_words}}, timeout_ms);
  return {std::move(ended), without_newline(words)};
}

volatile sig_atomic_t signals_seen;

// SIGCHLD's disposition while it lives.
class Sigchld {
 public:
  explicit Sigchld(void (*handler)(int), int flags = 0) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(SIGCHLD, &action, &before_);
  }
  ~Sigchld() { sigaction(SIGCHLD, &before_, nullptr); }
  Sigchld(const Sigchld&) = delete;
  Sigchld& operator=(const Sigchld&) = delete;

 private:
  struct sigaction before_ = {};
};

bool has_no_child() { return waitpid(-1, nullptr, __WALL | WNOHANG) == -1 && errno == ECHILD; }

class HiddenChild : public testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a sanitizer's threads don't get over clone(2)";
#endif
  }
  void TearDown() override { EXPECT_TRUE(has_no_child()); }
};

TEST_F(HiddenChild, GivesStatusAndWords) {
  const Outcome outcome = run("echo words >&2; exit 7");
  EXPECT_EQ(outcome.ended.value(), 7 << 8);
  EXPECT_EQ(outcome.words, "words");
  EXPECT_EQ(run("kill -9 $$").ended.value(), 9);
}

TEST_F(HiddenChild, HasStdioAndWhatWasNamedOnly) {
  const Fd inheritable(fcntl(0, F_DUPFD, 20));
  EXPECT_EQ(run("ls /proc/$$/fd | tr '\\n' ' ' >&2").words.substr(0, 6), "0 1 2 ");
  EXPECT_EQ(run("ls -l /proc/$$/fd >&2").words.find("socket"), std::string::npos);
}

TEST_F(HiddenChild, CouldNotBeStarted) {
  const Error error = run("", kTimeoutMs, "/nonexistent/program").ended.error();
  EXPECT_EQ(error.code(), ENOENT);
  EXPECT_EQ(error.line(), "start /nonexistent/program: No such file or directory");
  EXPECT_EQ(run("", kTimeoutMs, "/etc/passwd").ended.error().code(), EACCES);
}

TEST_F(HiddenChild, IsKilledWhenItTakesTooLong) {
  const auto begin = steady_clock::now();
  const Outcome outcome = run("echo $$ >&2; exec sleep 600", 1000);
  EXPECT_EQ(outcome.ended.error().code(), ETIMEDOUT);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(300));
  EXPECT_EQ(kill(static_cast<pid_t>(atoi(outcome.words.c_str())), 0), -1) << outcome.words;
}

TEST_F(HiddenChild, SendsNoSigchld) {
  signals_seen = 0;
  const Sigchld sigchld([](int) { signals_seen = signals_seen + 1; });
  EXPECT_EQ(run("exit 3").ended.value(), 3 << 8);
  EXPECT_EQ(signals_seen, 0);
}

TEST_F(HiddenChild, HasAStatusWhereSigchldIsIgnored) {
  {
    const Sigchld sigchld(SIG_IGN);
    EXPECT_EQ(run("exit 3").ended.value(), 3 << 8);
  }
  const Sigchld sigchld([](int) {}, SA_NOCLDWAIT);
  EXPECT_EQ(run("exit 4").ended.value(), 4 << 8);
}

TEST_F(HiddenChild, IsNobodyElsesToWaitFor) {
  std::atomic<bool> stop = false;
  std::atomic<int> found = 0;
  std::thread waiter([&] {
    while (!stop) found += waitpid(-1, nullptr, WNOHANG) > 0;
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(run("exit 3").ended.value(), 3 << 8);
  stop = true;
  waiter.join();
  EXPECT_EQ(found, 0);
}

TEST_F(HiddenChild, SignalsOfThisProcessHaveNoPartInIt) {
  sigset_t mask;
  sigset_t before;
  sigset_t after;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  auto* handler = signal(SIGUSR2, SIG_IGN);
  const Outcome outcome = run("sed -n '/^Sig[BI]/p' /proc/self/status >&2");
  signal(SIGUSR2, handler);
  pthread_sigmask(SIG_SETMASK, &before, &after);
  unsigned long long blocked = ~0ULL;
  unsigned long long ignored = ~0ULL;
  ASSERT_EQ(sscanf(outcome.words.c_str(), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2) << outcome.words;
  EXPECT_EQ(blocked, 0u);
  // posix_spawn(3) has 32 and 33, which are the C library's own, ignored.
  EXPECT_EQ(ignored & 0x7fffffff, 0u);
  EXPECT_TRUE(sigismember(&after, SIGUSR1));
  EXPECT_FALSE(sigismember(&after, SIGTERM));
}

TEST_F(HiddenChild, ManyAtOnce) {
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&right, i] {
      const Outcome outcome = run("echo " + std::to_string(i) + " >&2; exit " + std::to_string(i));
      right += outcome.ended.is_ok() && outcome.ended.value() == i << 8 && outcome.words == std::to_string(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

TEST_F(HiddenChild, LeavesNoProcessWhenThisOneIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t host = fork();
  if (host == 0) {
    // The program has the pipe as its stderr, and ends when it finds that nobody reads its stdout.
    ChildProgram child = {"/bin/sh", {"-c", "echo begun >&2; while echo on; do sleep 0.05; done"}, {}};
    auto [ours, childs] = text_pipe().value();
    child.descriptors.emplace_back(STDOUT_FILENO, std::move(childs));
    child.descriptors.emplace_back(STDERR_FILENO, Fd(ends[1]));
    std::string said;
    const auto read_said = [&, fd = ours.get()] { return read_text(fd, 4096, &said); };
    (void)run_hidden_child(std::move(child), {{ours.get(), read_said}}, kTimeoutMs);
    _exit(0);
  }
  const Fd reader(ends[0]);
  close(ends[1]);
  char byte;
  ASSERT_EQ(read(reader.get(), &byte, 1), 1);
  kill(host, SIGKILL);
  waitpid(host, nullptr, 0);
  ssize_t n;
  while ((n = read(reader.get(), &byte, 1)) > 0) {
  }
  EXPECT_EQ(n, 0) << "the keeper has let go of the descriptors";
}

TEST_F(HiddenChild, RunsInTheMemoryOfThisProcess) {
  // A copy would find nothing here, and take as long as a VMM is large.
  int calls = 0;
  auto [ours, childs] = text_pipe().value();
  ChildProgram child = {"/bin/echo", {}, {}};
  child.descriptors.emplace_back(STDOUT_FILENO, std::move(childs));
  std::string said;
  const auto read_said = [&, fd = ours.get()] {
    ++calls;
    return read_text(fd, 4096, &said);
  };
  EXPECT_TRUE(run_hidden_child(std::move(child), {{ours.get(), read_said}}, kTimeoutMs).is_ok());
  EXPECT_GT(calls, 0);
  EXPECT_EQ(said, "\n");
}

TEST_F(HiddenChild, HelpersAreAskedThatWay) {
  AskOptions options = {"/bin/sh", {"-c", "echo hello >&3; echo words >&2", "--net=tap"}, kTimeoutMs, true};
  const Answer answer = ask_helper(options).value();
  EXPECT_EQ(answer.bytes, "hello\n");
  EXPECT_EQ(answer.words, "words");
  options.arguments[1] = "echo 'helper: access denied' >&2; exit 1";
  EXPECT_EQ(ask_helper(options).error().line(), "get tap: helper: access denied");
}

}  // namespace
}  // namespace tapferry
