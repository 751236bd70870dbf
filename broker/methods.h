// SPDX-License-Identifier: MIT
//
// What can be called, apart from how calls come and replies go: the interface's description, and for each method what it needs and
// what its result looks like.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "broker/launches.h"
#include "broker/varlink.h"

namespace tapferry {

// A whole reply, with its zero byte, and the descriptors that go with its first byte.
struct Reply {
  std::string message;
  std::vector<Fd> fds;
};

// A call that has to be answered by a helper.
struct Errand {
  LaunchKind kind = LaunchKind::kOpen;
  std::string text;  // a SPEC, or an interface's name
};

// What a call comes to: answered at once, or an errand.
struct Handled {
  std::optional<Reply> reply;
  std::optional<Errand> errand;
};
Handled handle_call(const Call& call, uid_t uid);

// The reply to an errand's result.
Reply reply_to(LaunchKind kind, Result<LaunchResult> result);

// org.tapferry.Broker.Busy, .Failed or .Refused, with the words as its message.
Reply broker_error(const char* error, const std::string& words);

// The message wasn't understood at all: what a reply can say of it.
Reply malformed_call(const Error& error);

}  // namespace tapferry
