// SPDX-License-Identifier: MIT
#include "tests/lib/front/vhost_client.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry::front {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kHeaderBytes = 12;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error::from_errno("name", path, ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool is_readable(int fd, int timeout_ms) {
  pollfd waiting = {fd, POLLIN, 0};
  return retry_on_eintr([&] { return poll(&waiting, 1, timeout_ms); }) > 0;
}

}  // namespace

std::string u64_bytes(uint64_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

Result<Fd> listen_on(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  unlink(path.c_str());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (!socket.is_open() || bind(socket.get(), generic, sizeof address) != 0 || listen(socket.get(), 8) != 0) {
    return Error::from_errno("listen on", path, errno);
  }
  return socket;
}

Result<VhostClient> VhostClient::connect_to(const std::string& path, int timeout_ms) {
  const sockaddr_un address = TRY(address_of(path));
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  for (;;) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return Error::from_errno("make", "a socket", errno);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return VhostClient(std::move(socket));
    }
    if ((errno != ENOENT && errno != ECONNREFUSED) || steady_clock::now() > deadline) {
      return Error::from_errno("connect to", path, errno);
    }
    usleep(5000);
  }
}

Result<VhostClient> VhostClient::accept_from(int listening_fd, int timeout_ms) {
  if (!is_readable(listening_fd, timeout_ms)) return Error::from_errno("wait for", "a backend", ETIMEDOUT);
  Fd socket(retry_on_eintr([&] { return accept4(listening_fd, nullptr, nullptr, SOCK_CLOEXEC); }));
  if (!socket.is_open()) return Error::from_errno("accept", "a backend", errno);
  return VhostClient(std::move(socket));
}

Status VhostClient::send(uint32_t request, uint32_t flags, std::string_view payload, std::span<const int> fds) {
  const uint32_t header[3] = {request, flags, static_cast<uint32_t>(payload.size())};
  std::string bytes(reinterpret_cast<const char*>(header), sizeof header);
  bytes += payload;
  return send_bytes(bytes, fds);
}

Status VhostClient::send_bytes(std::string_view bytes, std::span<const int> fds) {
  return send_with_fds(socket_.get(), bytes, fds, kTimeoutMs);
}

Result<Message> VhostClient::receive(int timeout_ms) {
  Message message;
  std::string bytes;
  size_t wanted = kHeaderBytes;
  while (bytes.size() < wanted) {
    if (!is_readable(socket_.get(), timeout_ms)) return Error::from_errno("wait for", "a reply", ETIMEDOUT);
    ReceivedMessage part = TRY(receive_with_fds(socket_.get(), wanted - bytes.size()));
    if (part.bytes.empty()) return Error::from_errno("wait for", "a reply", ECONNRESET);
    bytes += part.bytes;
    for (Fd& fd : part.fds) message.fds.push_back(std::move(fd));
    if (bytes.size() != kHeaderBytes) continue;
    uint32_t header[3];
    memcpy(header, bytes.data(), sizeof header);
    message.request = header[0];
    message.flags = header[1];
    wanted += header[2];
  }
  message.payload = bytes.substr(kHeaderBytes);
  return message;
}

Status VhostClient::command(uint32_t request, std::string_view payload, std::span<const int> fds) {
  TRY(send(request, kVersionFlag | (has_acks_ ? kNeedReplyFlag : 0), payload, fds));
  if (!has_acks_) return {};
  const Message reply = TRY(receive());
  uint64_t status = 1;
  if (reply.payload.size() == sizeof status) memcpy(&status, reply.payload.data(), sizeof status);
  if (reply.request != request || (reply.flags & kReplyFlag) == 0 || status != 0) {
    return Error("have the backend do", "request " + std::to_string(request), "it says " + std::to_string(status));
  }
  return {};
}

Status VhostClient::command_u64(uint32_t request, uint64_t value, std::span<const int> fds) {
  return command(request, u64_bytes(value), fds);
}

Status VhostClient::command_vring(uint32_t request, uint32_t index, uint32_t value) {
  return command_u64(request, uint64_t{value} << 32 | index);
}

Result<Message> VhostClient::query(uint32_t request, std::string_view payload, std::span<const int> fds) {
  TRY(send(request, kVersionFlag, payload, fds));
  Message reply = TRY(receive());
  if (reply.request != request || (reply.flags & (kReplyFlag | 3)) != (kReplyFlag | kVersionFlag)) {
    return Error("ask", "request " + std::to_string(request),
                 "the reply is to " + std::to_string(reply.request) + ", flags " + std::to_string(reply.flags));
  }
  return reply;
}

Result<uint64_t> VhostClient::query_u64(uint32_t request) {
  const Message reply = TRY(query(request));
  uint64_t value;
  if (reply.payload.size() != sizeof value) return Error("ask", "request " + std::to_string(request), "not 8 bytes");
  memcpy(&value, reply.payload.data(), sizeof value);
  return value;
}

bool VhostClient::is_closed(int timeout_ms) const {
  if (!is_readable(socket_.get(), timeout_ms)) return false;
  char byte;
  const ssize_t n = recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN);
}

}  // namespace tapferry::front
