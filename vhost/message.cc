// SPDX-License-Identifier: MIT
#include "vhost/message.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/socket.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The header's flags.
constexpr uint32_t kVersionMask = 3;
constexpr uint32_t kVersion = 1;
constexpr uint32_t kReply = 1u << 2;
constexpr uint32_t kNeedReply = 1u << 3;

constexpr const char* kReceive = "receive a message from";
constexpr const char* kFrontEnd = "the front-end";

uint32_t number_at(std::span<const uint8_t> bytes, size_t at) {
  uint32_t value;
  memcpy(&value, &bytes[at], sizeof value);
  return value;
}

void take_fds(msghdr* message, std::vector<Fd>* fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds->emplace_back(fd);
    }
  }
}

}  // namespace

Result<MessageReader::Seen> MessageReader::read(int socket) {
  has_more_ = false;
  const bool has_header = received_ >= kHeaderBytes;
  iovec part = {header_.data() + received_, kHeaderBytes - received_};
  if (has_header) {
    const size_t at = received_ - kHeaderBytes;
    part = {message_.payload.data() + at, message_.payload.size() - at};
  }
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = retry_on_eintr([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT); });
  if (n < 0 && errno == EAGAIN) return Seen::kPart;
  if (n < 0) return Error::from_errno(kReceive, kFrontEnd, errno);
  take_fds(&message, &message_.fds);
  // The kernel keeps those that don't fit.
  if ((message.msg_flags & MSG_CTRUNC) != 0 || message_.fds.size() > kMaxMessageFds) {
    return Error(kReceive, kFrontEnd, "more than " + std::to_string(kMaxMessageFds) + " descriptors");
  }
  if (n == 0 && received_ == 0) return Seen::kClosed;
  if (n == 0) return Error(kReceive, kFrontEnd, "the connection ended within a message");
  if (received_ == 0) begin_ = steady_clock::now();
  received_ += static_cast<size_t>(n);
  if (!has_header && received_ == kHeaderBytes) TRY(check_header());
  const bool is_whole = received_ >= kHeaderBytes && received_ == kHeaderBytes + message_.payload.size();
  has_more_ = !is_whole && !has_header && received_ == kHeaderBytes;
  return is_whole ? Seen::kMessage : Seen::kPart;
}

Status MessageReader::check_header() {
  message_.request = number_at(header_, 0);
  const uint32_t flags = number_at(header_, 4);
  const uint32_t size = number_at(header_, 8);
  const auto wrong = [&](const std::string& reason) {
    return Error(kReceive, kFrontEnd, "request " + std::to_string(message_.request) + " " + reason);
  };
  if ((flags & kVersionMask) != kVersion) {
    return wrong("has version " + std::to_string(flags & kVersionMask) + " of the protocol, not 1");
  }
  if ((flags & ~(kVersionMask | kNeedReply)) != 0) {
    return wrong("has flags that no request has: " + std::to_string(flags));
  }
  if (size > kMaxPayloadBytes) {
    return wrong("has a payload of " + std::to_string(size) + " bytes, more than " + std::to_string(kMaxPayloadBytes));
  }
  message_.needs_reply = (flags & kNeedReply) != 0;
  message_.payload.resize(size);
  return {};
}

Message MessageReader::take() {
  received_ = 0;
  return std::exchange(message_, {});
}

int MessageReader::timeout_ms() const {
  if (received_ == 0) return -1;
  const auto passed = duration_cast<milliseconds>(steady_clock::now() - begin_).count();
  return static_cast<int>(std::clamp<long long>(kHalfMessageMs - passed, 0, kHalfMessageMs));
}

Status MessageReader::check_overdue() const {
  if (timeout_ms() != 0) return {};
  return Error(kReceive, kFrontEnd,
               std::to_string(received_) + " bytes of a message came, and no more for " +
                   std::to_string(kHalfMessageMs / 1000) + " seconds");
}

Status send_reply(int socket, uint32_t request, std::span<const uint8_t> payload) {
  const uint32_t header[] = {request, kVersion | kReply, static_cast<uint32_t>(payload.size())};
  std::string bytes(reinterpret_cast<const char*>(header), sizeof header);
  bytes.append(payload.begin(), payload.end());
  const Status sent = send_with_fds(socket, bytes, {}, kReplyMs);
  if (sent.is_ok()) return {};
  return Error::from_errno("send a reply to", kFrontEnd, sent.error().code()).with_reason(sent.error().reason());
}

template <typename T>
T PayloadReader::number() {
  T value = 0;
  if (bytes_.size() < sizeof value) return value;
  memcpy(&value, bytes_.data(), sizeof value);
  bytes_ = bytes_.subspan(sizeof value);
  return value;
}

template uint32_t PayloadReader::number<uint32_t>();
template uint64_t PayloadReader::number<uint64_t>();

}  // namespace tapferry
