// SPDX-License-Identifier: MIT
//
// vhost-user messages as bytes on a socket: twelve bytes of header, a payload, and descriptors beside the first byte. What a
// request means is in vhost/requests.h.
//
// The peer can be slow, silent or hostile. Each read is one bounded recvmsg(2) that never waits; a descriptor has an owner from
// the moment at which the kernel installs it (CVE-2019-14818 was a leak of those of refused messages); a message whose rest
// doesn't come within kHalfMessageMs is an error.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Longer than any payload that version 1 of the protocol defines: framing survives a request that isn't known here.
inline constexpr size_t kMaxPayloadBytes = 4096;
// SET_MEM_TABLE has one for each of its regions, of which the payload holds eight.
inline constexpr size_t kMaxMessageFds = 8;
// From a message's first byte to its last.
inline constexpr int kHalfMessageMs = 5000;
// How long a peer may leave a reply in a full socket.
inline constexpr int kReplyMs = 2000;

struct Message {
  uint32_t request = 0;
  bool needs_reply = false;  // NEED_REPLY: an acknowledgement is wanted even where the request has no reply
  std::vector<uint8_t> payload;
  std::vector<Fd> fds;
};

class MessageReader {
 public:
  enum class Seen {
    kPart,     // nothing, or not yet all of a message
    kMessage,  // take() has it
    kClosed,   // the peer closed, between two messages
  };
  // Reads what belongs to the present message, once. An error is one of framing, or of the socket: the connection is of no use
  // any more.
  Result<Seen> read(int socket);
  Message take();
  // After kPart: more may be there at once. A header is read before the payload that it announces.
  bool has_more() const { return has_more_; }

  // As poll(2) takes it: -1 between messages, else until the message is overdue, after which check_overdue() is an error.
  int timeout_ms() const;
  Status check_overdue() const;

 private:
  static constexpr size_t kHeaderBytes = 12;
  Status check_header();

  std::array<uint8_t, kHeaderBytes> header_{};
  size_t received_ = 0;  // header and payload
  bool has_more_ = false;
  Message message_;
  std::chrono::steady_clock::time_point begin_;
};

// The reply to `request`. The error's code is ETIMEDOUT when the peer doesn't read.
Status send_reply(int socket, uint32_t request, std::span<const uint8_t> payload);

// Numbers out of a payload, in order (native byte order, as the protocol has it). The size was checked before: what isn't there
// reads as 0.
class PayloadReader {
 public:
  explicit PayloadReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {}
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }

 private:
  template <typename T>
  T number();

  std::span<const uint8_t> bytes_;
};

}  // namespace tapferry
