// SPDX-License-Identifier: MIT
//
// What tapferry-helper's own processes say to each other, over SOCK_SEQPACKET: a request is answered by one message.
// A message is a few strings, each ended by a zero byte; the first says what it is. Either side is our own
// program, but one of them has read strangers' bytes, so a message that isn't whole is an error, and values are
// parsed as strictly as a caller's.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

struct WireMessage {
  std::vector<std::string> fields;  // at least one; none: the peer is gone
  std::vector<Fd> fds;
};

// A failure as a message, and back: {"error", errno, action, object, reason, hint}.
std::vector<std::string> error_fields(const Error& error);

// Never waits for a peer that doesn't read: its socket's buffer holds more than is ever outstanding.
Status send_fields(int socket, const std::vector<std::string>& fields, std::span<const int> fds = {});

// One message, waited for up to `timeout_ms` (-1: for ever). An end of file is a message without fields.
Result<WireMessage> receive_fields(int socket, int timeout_ms);

// Sends `request` and waits for its answer; an answer that is an error is returned as one. EPIPE: the peer is gone.
Result<WireMessage> ask(int socket, const std::vector<std::string>& request, int timeout_ms,
                        std::span<const int> fds = {});

}  // namespace tapferry
