// SPDX-License-Identifier: MIT
//
// The front-end's side of a vhost-user connection: messages out, replies in. What goes wrong on purpose is sent by the same
// functions, so nothing here checks what it is told to send.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry::front {

// QEMU's docs/interop/vhost-user.rst, "Front-end message types".
enum Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetLogBase = 6,
  kSetLogFd = 7,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSendRarp = 19,
  kNetSetMtu = 20,
  kSetBackendReqFd = 21,
  kResetDevice = 34,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
  kSetStatus = 39,
  kGetStatus = 40,
};

// Bits of protocol features, by the same document.
enum ProtocolFeature : uint64_t {
  kProtocolMq = uint64_t{1} << 0,
  kProtocolLogShmFd = uint64_t{1} << 1,
  kProtocolRarp = uint64_t{1} << 2,
  kProtocolReplyAck = uint64_t{1} << 3,
  kProtocolMtu = uint64_t{1} << 4,
  kProtocolMemSlots = uint64_t{1} << 15,
  kProtocolReset = uint64_t{1} << 13,
  kProtocolStatus = uint64_t{1} << 16,
};

inline constexpr uint32_t kVersionFlag = 1;
inline constexpr uint32_t kReplyFlag = 4;
inline constexpr uint32_t kNeedReplyFlag = 8;

struct Message {
  uint32_t request = 0;
  uint32_t flags = 0;
  std::string payload;
  std::vector<Fd> fds;
};

class VhostClient {
 public:
  static constexpr int kTimeoutMs = 5000;  // for a reply

  // Tries again until `timeout_ms` while nobody listens there yet.
  static Result<VhostClient> connect_to(const std::string& path, int timeout_ms);
  // The next connection to a listening socket.
  static Result<VhostClient> accept_from(int listening_fd, int timeout_ms);
  explicit VhostClient(Fd socket) : socket_(std::move(socket)) {}

  Status send(uint32_t request, uint32_t flags, std::string_view payload, std::span<const int> fds = {});
  Status send_bytes(std::string_view bytes, std::span<const int> fds = {});
  // The error's code is ETIMEDOUT when nothing came, ECONNRESET when the other side is gone.
  Result<Message> receive(int timeout_ms = kTimeoutMs);

  // Asks for an acknowledgement where use_acks() was called; what isn't zero is an error then.
  Status command(uint32_t request, std::string_view payload, std::span<const int> fds = {});
  Status command_u64(uint32_t request, uint64_t value, std::span<const int> fds = {});
  Status command_vring(uint32_t request, uint32_t index, uint32_t value);
  Result<Message> query(uint32_t request, std::string_view payload = {}, std::span<const int> fds = {});
  Result<uint64_t> query_u64(uint32_t request);

  void use_acks(bool on) { has_acks_ = on; }
  // True when the other side closed within that time. Bytes that come meanwhile stay unread, and mean false.
  bool is_closed(int timeout_ms) const;
  int fd() const { return socket_.get(); }

 private:
  Fd socket_;
  bool has_acks_ = false;
};

std::string u64_bytes(uint64_t value);
// The socket that a VMM with server=on has: 0600, replacing what was there.
Result<Fd> listen_on(const std::string& path);

}  // namespace tapferry::front
