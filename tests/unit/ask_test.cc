// SPDX-License-Identifier: MIT
//
// Helpers in the shell's language: what a socket can carry with it, and how a helper can end.
#include "net/ask.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "base/syscall.h"
#include "net/child.h"

namespace tapferry {
namespace {

using std::chrono::steady_clock;

// The shell runs `script` with the arguments of a helper behind it ($0, $1, ...).
AskOptions shell(const std::string& script, int timeout_ms = 10000) {
  return {"/bin/sh", {"-c", script, "--net=tap"}, timeout_ms};
}

constexpr const char* kGrant =
    "{\"version\":1,\"kind\":\"tap\",\"ifname\":\"tap0\",\"ifindex\":1,\"upper\":null,\"queues\":1,\"vhost\":0,"
    "\"vnet_hdr\":true,\"vnet_hdr_sz\":12,\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,\"up\":true,\"rule\":\"x:1\"}\n";

Answer answer_with(const std::string& bytes, int fds) {
  Answer answer;
  answer.request = "tap";
  answer.helper = "helper";
  answer.bytes = bytes;
  for (int i = 0; i < fds; ++i) answer.fds.push_back(open_file("/dev/null", O_RDONLY).value());
  return answer;
}

TEST(AskHelper, GivesWhatWasSentAndSaid) {
  const Answer answer = ask_helper(shell("echo hello >&3; echo words >&2")).value();
  EXPECT_EQ(answer.bytes, "hello\n");
  EXPECT_EQ(answer.words, "words");
  EXPECT_EQ(answer.request, "tap");
  EXPECT_EQ(answer.wait_status, 0);
  EXPECT_EQ(answer.trailing_bytes, 0u);
}

TEST(AskHelper, NamesTheSocketLast) {
  EXPECT_EQ(ask_helper(shell("echo \"$0 $*\" >&3")).value().bytes, "--net=tap --fd=3\n");
  EXPECT_EQ(ask_by_br("h", "br0").arguments, (std::vector<std::string>{"--use-vnet", "--br=br0"}));
}

TEST(AskHelper, GivesNoDescriptorButStdioAndTheSocket) {
  const Fd inheritable(fcntl(0, F_DUPFD, 20));
  EXPECT_EQ(ask_helper(shell("ls /proc/$$/fd | tr '\\n' ' ' >&3")).value().bytes.substr(0, 8), "0 1 2 3 ");
}

TEST(AskHelper, RefusalHasTheHelpersWords) {
  const auto answer = ask_helper(shell("echo 'helper: access denied' >&2; exit 1"));
  EXPECT_EQ(answer.error().line(), "get tap: helper: access denied");
}

TEST(AskHelper, EndWithoutWordsIsNamed) {
  EXPECT_EQ(ask_helper(shell("exit 7")).error().reason(), "/bin/sh ended with status 7 and no word");
  EXPECT_EQ(ask_helper(shell("kill -9 $$")).error().reason(), "/bin/sh ended with signal 9 (Killed) and no word");
  EXPECT_EQ(ask_helper(shell("true")).error().reason(), "/bin/sh ended with status 0 and sent nothing");
}

TEST(AskHelper, LongWordsAreCut) {
  const auto answer = ask_helper(shell("yes | head -c 200000 >&2; exit 1"));
  EXPECT_LE(answer.error().reason().size(), 4096u);
}

TEST(AskHelper, FloodIsCountedAndEnds) {
  const Answer answer = ask_helper(shell("yes | head -c 500000 >&3")).value();
  EXPECT_EQ(answer.bytes.size() + answer.trailing_bytes, 500000u);
}

TEST(AskHelper, HangIsEndedByForce) {
  const auto begin = steady_clock::now();
  const auto answer = ask_helper(shell("echo hello >&3; exec sleep 30", 300));
  EXPECT_EQ(answer.error().code(), ETIMEDOUT);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(AskHelper, ChildOfTheHelperIsNotWaitedFor) {
  const auto begin = steady_clock::now();
  const Answer answer = ask_helper(shell("sleep 20 >/dev/null </dev/null & echo hello >&3")).value();
  EXPECT_EQ(answer.bytes, "hello\n");
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(AskHelper, MissingOneIsAnErrorWithAHint) {
  const Error error = ask_helper({"/nonexistent", {"--net=tap"}}).error();
  EXPECT_EQ(error.code(), ENOENT);
  EXPECT_NE(error.hint(), "");
}

TEST(AskHelper, KeepsTheDispositionOfSigchld) {
  signal(SIGCHLD, SIG_IGN);
  EXPECT_EQ(ask_helper(shell("echo hello >&3; exit 5")).value().wait_status, 5 << 8);
  EXPECT_EQ(signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

TEST(TakeInterface, TakesWhatIsRight) {
  const auto interface = take_interface(answer_with(kGrant, 1));
  ASSERT_TRUE(interface.is_ok()) << interface.error().line();
  EXPECT_EQ(interface.value().queues.size(), 1u);
  EXPECT_EQ(interface.value().vhost.size(), 0u);
  EXPECT_EQ(interface.value().grant.ifname, "tap0");
}

TEST(TakeInterface, SeparatesQueuesFromVhost) {
  std::string record = kGrant;
  record.replace(record.find("\"vhost\":0"), 9, "\"vhost\":1");
  Answer answer = answer_with(record, 2);
  const int first = answer.fds[0].get();
  const GrantedInterface interface = take_interface(std::move(answer)).value();
  ASSERT_EQ(interface.queues.size(), 1u);
  ASSERT_EQ(interface.vhost.size(), 1u);
  EXPECT_EQ(interface.queues[0].get(), first);
}

TEST(TakeInterface, TakesNothingElse) {
  const auto reason = [](Answer answer) { return take_interface(std::move(answer)).error().reason(); };
  EXPECT_EQ(reason(answer_with(kGrant, 0)), "helper sent 0 descriptors where its record says 1");
  EXPECT_EQ(reason(answer_with(kGrant, 2)), "helper sent 2 descriptors where its record says 1");
  EXPECT_TRUE(reason(answer_with("x", 1)).starts_with("helper sent what is no grant record"));
  Answer failed = answer_with(kGrant, 1);
  failed.wait_status = 1 << 8;
  failed.words = "oops";
  EXPECT_EQ(reason(std::move(failed)), "helper sent a message, but ended with status 1 (oops)");
  Answer more = answer_with(kGrant, 1);
  more.trailing_bytes = 1;
  EXPECT_EQ(reason(std::move(more)), "helper sent more than one message");
  Answer truncated = answer_with(kGrant, 1);
  truncated.is_truncated = true;
  EXPECT_NE(reason(std::move(truncated)), "");
}

TEST(AskForExplanation, GivesStdoutOrTheWordsOfStderr) {
  AskOptions options = {"/bin/echo", {"--net=tap"}};
  EXPECT_EQ(ask_for_explanation(options).value(), "--explain --net=tap\n");
  options.helper = "/bin/false";
  EXPECT_EQ(ask_for_explanation(options).error().line(), "explain tap: /bin/false ended with status 1 and no word");
  options.helper = "/nonexistent";
  EXPECT_EQ(ask_for_explanation(options).error().code(), ENOENT);
}

TEST(DescribeWaitStatus, NamesStatusesAndSignals) {
  EXPECT_EQ(describe_wait_status(0), "status 0");
  EXPECT_EQ(describe_wait_status(3 << 8), "status 3");
  EXPECT_EQ(describe_wait_status(SIGTERM), "signal 15 (Terminated)");
}

}  // namespace
}  // namespace tapferry
