// SPDX-License-Identifier: MIT
#include "net/ovs_vsctl.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "net/child.h"

namespace tapferry {
namespace {

constexpr const char* kAction = "ask Open vSwitch";
constexpr const char* kObject = "by ovs-vsctl";
// A line for each port of ours, of some 150 bytes.
constexpr size_t kMaxOutput = 1 << 20;
constexpr size_t kMaxWords = 4096;
// After which it is ended by force: its own timeout comes before.
constexpr int kGraceMs = 1000;

// "ovs-vsctl: unix:...: database connection failed (No such file or directory)": the last line, without who speaks.
std::string last_words(const std::string& text) {
  const std::string words = without_newline(text);
  const size_t newline = words.rfind('\n');
  std::string_view last =
      newline == std::string::npos ? std::string_view(words) : std::string_view(words).substr(newline + 1);
  (void)consume_prefix(&last, "ovs-vsctl: ");
  return std::string(last);
}

Error not_started(const Error& error) {
  Error reason = Error::from_errno(kAction, kObject, error.code()).with_detail(kOvsVsctl);
  if (error.code() != ENOENT && error.code() != EACCES) return reason;
  return std::move(reason).with_hint("install openvswitch-switch");
}

Error no_answer(int timeout_s) {
  return Error::from_errno(kAction, kObject, ETIMEDOUT)
      .with_reason("no answer within " + std::to_string(timeout_s) + " s")
      .with_hint("are ovsdb-server and ovs-vswitchd running?");
}

}  // namespace

Result<std::string> run_ovs_vsctl(const std::vector<std::string>& arguments, int timeout_s) {
  auto [output, its_output] = TRY(text_pipe());
  auto [words, its_words] = TRY(text_pipe());
  ChildProgram program = {kOvsVsctl, {}, {}};
  program.resets_signals = true;
  program.arguments = {"--no-syslog", "--verbose=off", "--timeout=" + std::to_string(timeout_s),
                       "--db=unix:" + std::string(kOvsDatabase)};
  program.arguments.insert(program.arguments.end(), arguments.begin(), arguments.end());
  program.descriptors.emplace_back(STDIN_FILENO, TRY(open_file("/dev/null", O_RDWR)));
  program.descriptors.emplace_back(STDOUT_FILENO, std::move(its_output));
  program.descriptors.emplace_back(STDERR_FILENO, std::move(its_words));
  std::string printed;
  std::string said;
  const auto ended = run_child(std::move(program),
                               {{output.get(), [&, fd = output.get()] { return read_text(fd, kMaxOutput, &printed); }},
                                {words.get(), [&, fd = words.get()] { return read_text(fd, kMaxWords, &said); }}},
                               timeout_s * 1000 + kGraceMs);
  if (!ended.is_ok()) return ended.error().code() == ETIMEDOUT ? no_answer(timeout_s) : not_started(ended.error());
  const int status = ended.value();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return printed;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return no_answer(timeout_s);
  std::string reason = last_words(said);
  if (reason.empty()) reason = "it ended with " + describe_wait_status(status) + " and no word";
  return Error(kAction, kObject, reason);
}

}  // namespace tapferry
