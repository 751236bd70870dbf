// SPDX-License-Identifier: MIT
#include "net/ask.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <iterator>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/parse.h"
#include "base/syscall.h"
#include "net/child.h"
#include "net/grant_reader.h"
#include "net/hidden_child.h"

namespace tapferry {
namespace {

constexpr int kHelpersSocket = 3;
// A helper says one line; more than this is cut.
constexpr size_t kMaxWords = 4096;
// A policy of a few thousand rules, each with its reason.
constexpr size_t kMaxExplanation = 4 << 20;
// For what the policy doesn't allow (helper/handover.cc), and for what isn't the caller's (helper/granted.cc).
constexpr std::string_view kRefusals[] = {"access denied by acl file", "has no interface of that name"};

Result<int> run(const AskOptions& options, ChildProgram program, std::vector<ChildOutput> outputs) {
  const auto run_program = options.hides_child ? run_hidden_child : run_child;
  return run_program(std::move(program), std::move(outputs), options.timeout_ms);
}

// "bridge=br0,queues=2" of --net=..., "bridge br0" of --br=...
std::string request_of(const AskOptions& options) {
  for (std::string_view argument : options.arguments) {
    if (consume_prefix(&argument, "--net=")) return std::string(argument);
    if (consume_prefix(&argument, "--br=")) return "bridge " + std::string(argument);
  }
  return "an interface";
}

Error with_how_to_get_a_helper(Error error, const std::string& helper) {
  if (error.code() == ENOENT) {
    return std::move(error).with_hint("`make install' installs it; --helper=PATH or TAPFERRY_HELPER name another");
  }
  if (error.code() == EACCES) return std::move(error).with_hint("you must be allowed to execute " + helper);
  return error;
}

Error refusal(const Answer& answer) {
  if (WIFEXITED(answer.wait_status) && WEXITSTATUS(answer.wait_status) == 0) {
    return Error("get", answer.request, answer.helper + " ended with status 0 and sent nothing");
  }
  if (!answer.words.empty()) return Error("get", answer.request, answer.words);
  return Error("get", answer.request,
               answer.helper + " ended with " + describe_wait_status(answer.wait_status) + " and no word");
}

// `object` is what an error names.
Result<std::string> ask_for_output(const AskOptions& options, const std::string& object) {
  std::string explanation;
  std::string words;
  auto [out, helpers_stdout] = TRY(text_pipe());
  auto [err, helpers_stderr] = TRY(text_pipe());
  ChildProgram program = {options.helper, options.arguments, {}};
  program.descriptors.emplace_back(STDOUT_FILENO, std::move(helpers_stdout));
  program.descriptors.emplace_back(STDERR_FILENO, std::move(helpers_stderr));
  auto ended = run(options, std::move(program),
                   {{out.get(), [&, fd = out.get()] { return read_text(fd, kMaxExplanation + 1, &explanation); }},
                    {err.get(), [&, fd = err.get()] { return read_text(fd, kMaxWords, &words); }}});
  if (!ended.is_ok()) return with_how_to_get_a_helper(std::move(ended).error(), options.helper);
  if (explanation.size() > kMaxExplanation) {
    return Error("explain", object, "the helper's explanation has no end");
  }
  if (explanation.empty()) {
    words = without_newline(words);
    const std::string end = options.helper + " ended with " + describe_wait_status(ended.value()) + " and no word";
    return Error("explain", object, words.empty() ? end : words);
  }
  return explanation;
}

}  // namespace

AskOptions ask_by_net(std::string_view helper, std::string_view spec) {
  return {std::string(helper), {"--net=" + std::string(spec)}};
}

AskOptions ask_by_br(std::string_view helper, std::string_view bridge) {
  return {std::string(helper), {"--use-vnet", "--br=" + std::string(bridge)}};
}

bool receive_answer(int socket, Answer* answer) {
  auto received = receive_with_fds(socket, kMaxPassedBytes + 1);
  if (!received.is_ok()) return received.error().code() == EAGAIN;
  ReceivedMessage& message = received.value();
  if (message.bytes.empty() && message.fds.empty()) return false;
  answer->is_truncated |= message.is_truncated;
  if (answer->has_message) {
    answer->trailing_bytes += message.bytes.size();
    answer->trailing_fds += message.fds.size();
  } else {
    answer->bytes = std::move(message.bytes);
  }
  answer->has_message = true;
  // An honest helper has sent all that it has by now; one that floods gets nothing of it stored.
  for (Fd& fd : message.fds) {
    if (answer->fds.size() < kMaxPassedFds) answer->fds.push_back(std::move(fd));
  }
  return true;
}

Result<Answer> ask_helper(const AskOptions& options) {
  Answer answer;
  answer.request = request_of(options);
  answer.helper = options.helper;
  auto [ours, helpers] = TRY(socket_pair(SOCK_STREAM));
  auto [words, helpers_stderr] = TRY(text_pipe());
  TRY(set_nonblocking(ours.get(), true));

  ChildProgram program = {options.helper, options.arguments, {}};
  program.arguments.push_back("--fd=" + std::to_string(kHelpersSocket));
  program.descriptors.emplace_back(STDERR_FILENO, std::move(helpers_stderr));
  program.descriptors.emplace_back(kHelpersSocket, std::move(helpers));
  auto ended = run(options, std::move(program),
                   {{ours.get(), [&, fd = ours.get()] { return receive_answer(fd, &answer); }},
                    {words.get(), [&, fd = words.get()] { return read_text(fd, kMaxWords, &answer.words); }}});
  if (!ended.is_ok()) return with_how_to_get_a_helper(std::move(ended).error(), options.helper);
  answer.wait_status = ended.value();
  answer.words = without_newline(answer.words);
  if (!answer.has_message) return refusal(answer);
  return answer;
}

Result<GrantedInterface> take_interface(Answer answer) {
  const auto wrong = [&](const std::string& reason) {
    Error error("get", answer.request, answer.helper + " " + reason);
    if (answer.words.empty()) return error;
    return std::move(error).with_detail(answer.words);
  };
  if (!WIFEXITED(answer.wait_status) || WEXITSTATUS(answer.wait_status) != 0) {
    return wrong("sent a message, but ended with " + describe_wait_status(answer.wait_status));
  }
  if (answer.trailing_bytes + answer.trailing_fds != 0) return wrong("sent more than one message");
  if (answer.is_truncated) return wrong("sent a message that is longer than one may be");
  GrantedInterface interface;
  auto grant = read_grant(answer.bytes);
  if (!grant.is_ok()) return wrong("sent what is no grant record: " + grant.error().reason());
  interface.grant = std::move(grant).value();
  const size_t queues = interface.grant.queues;
  const size_t expected = queues + interface.grant.vhost;
  if (answer.fds.size() != expected) {
    return wrong("sent " + std::to_string(answer.fds.size()) + " descriptors where its record says " +
                 std::to_string(expected));
  }
  for (size_t i = 0; i < expected; ++i) {
    (i < queues ? interface.queues : interface.vhost).push_back(std::move(answer.fds[i]));
  }
  return interface;
}

Status ask_to_change(const AskOptions& options, GrantChange change, const std::string& ifname) {
  const std::string& helper = options.helper;
  const bool is_release = change == GrantChange::kRelease;
  std::string words;
  auto [err, helpers_stderr] = TRY(text_pipe());
  ChildProgram program = {helper, {(is_release ? "--release=" : "--up=") + ifname}, {}};
  program.descriptors.emplace_back(STDERR_FILENO, std::move(helpers_stderr));
  const auto read_words = [&, fd = err.get()] { return read_text(fd, kMaxWords, &words); };
  auto ended = run(options, std::move(program), {{err.get(), read_words}});
  if (!ended.is_ok()) return with_how_to_get_a_helper(std::move(ended).error(), helper);
  if (WIFEXITED(ended.value()) && WEXITSTATUS(ended.value()) == 0) return {};
  words = without_newline(words);
  const std::string end = helper + " ended with " + describe_wait_status(ended.value()) + " and no word";
  return Error(is_release ? "release" : "bring up", ifname, words.empty() ? end : words);
}

bool is_refusal(std::string_view words) {
  return std::any_of(std::begin(kRefusals), std::end(kRefusals),
                     [&](std::string_view refusal) { return words.find(refusal) != std::string_view::npos; });
}

Result<std::string> ask_for_explanation(const AskOptions& options) {
  AskOptions explain = options;
  explain.arguments.insert(explain.arguments.begin(), "--explain");
  return ask_for_output(explain, request_of(options));
}

Result<std::string> ask_for_rules(const std::string& helper) {
  return ask_for_output({helper, {"--rules"}}, "the policy's rules");
}

}  // namespace tapferry
