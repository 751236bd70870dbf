// SPDX-License-Identifier: MIT
//
// The client side of asking: starts a helper with one end of a socket pair, as a VMM does, and checks what comes back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/grant.h"
#include "net/spec.h"

namespace tapferry {

inline constexpr int kAskTimeoutMs = 30000;

struct AskOptions {
  std::string helper;                  // path of the program
  std::vector<std::string> arguments;  // --fd=N is added to them
  int timeout_ms = kAskTimeoutMs;
  bool hides_child = false;  // the rest of this process doesn't notice that a program was started (net/hidden_child.h)
};

// "--net=SPEC", and the call that QEMU and libvirt make.
AskOptions ask_by_net(std::string_view helper, std::string_view spec);
AskOptions ask_by_br(std::string_view helper, std::string_view bridge);

// All that a helper sent, right or wrong.
struct Answer {
  std::string request;        // what was asked, for error lines
  std::string helper;         // who answered
  bool has_message = false;   // anything was sent at all
  std::string bytes;          // of the first message
  std::vector<Fd> fds;        // of all messages, close-on-exec
  size_t trailing_bytes = 0;  // behind the first message
  size_t trailing_fds = 0;
  bool is_truncated = false;
  int wait_status = 0;  // waitpid(2)
  std::string words;    // its stderr, without the last newline
};

// An error when the helper couldn't be started, took too long, or sent nothing; then its own words, which say why, are
// the reason, unchanged.
Result<Answer> ask_helper(const AskOptions& options);

// Puts what one recvmsg on the non-blocking `socket` brings into `answer`, the first message and what comes behind it; false when
// the other end is closed.
bool receive_answer(int socket, Answer* answer);

// What was asked for, checked.
struct GrantedInterface {
  Grant grant;
  std::vector<Fd> queues;
  std::vector<Fd> vhost;
};

// Takes the interface out of an answer to --net. Exit status 0, one whole message, a well-formed record and as many
// descriptors as it says: anything else is an error, and the interface goes with the descriptors.
Result<GrantedInterface> take_interface(Answer answer);

// Whether a helper's words say that it may not do it, or that there is nothing of the caller's to do it to; otherwise something is
// amiss.
bool is_refusal(std::string_view words);

// What is done with an interface that was granted: deleted, if it was granted with persist=on; brought up, if with up=off.
enum class GrantChange { kRelease, kBringUp };
// `helper --release=IFNAME`, `helper --up=IFNAME`; the arguments are not those of `options`.
Status ask_to_change(const AskOptions& options, GrantChange change, const std::string& ifname);

// `helper --rules`: what it printed.
Result<std::string> ask_for_rules(const std::string& helper);

// `helper --explain ARGUMENT`: what it printed. The program has no descriptor but stdio.
Result<std::string> ask_for_explanation(const AskOptions& options);

}  // namespace tapferry
