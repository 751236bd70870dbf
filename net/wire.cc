// SPDX-License-Identifier: MIT
#include "net/wire.h"

#include <cerrno>
#include <poll.h>

#include "base/fd_pass.h"
#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kObject = "tapferry-helper's other process";
constexpr size_t kErrorFields = 6;
// Longer texts of an error than this would not fit into a message with the others.
constexpr size_t kMaxErrorText = 400;
constexpr int kSendTimeoutMs = 1000;

Error decode_error(const std::vector<std::string>& fields) {
  const auto code = parse_uint(fields[1], 0, 4095);
  Error error = code && *code != 0 ? Error::from_errno(fields[2], fields[3], static_cast<int>(*code))
                                   : Error(fields[2], fields[3], fields[4]);
  // strerror's words may have been made more precise by the other process.
  return std::move(error).with_reason(fields[4]).with_hint(fields[5]);
}

}  // namespace

std::vector<std::string> error_fields(const Error& error) {
  std::vector<std::string> fields = {
      "error", std::to_string(error.code()), error.action(), error.object(), error.reason(), error.hint()};
  for (std::string& field : fields) {
    field = field.substr(0, kMaxErrorText);
    for (char& c : field) {
      if (c == '\0') c = '?';
    }
  }
  return fields;
}

Status send_fields(int socket, const std::vector<std::string>& fields, std::span<const int> fds) {
  std::string bytes;
  for (const std::string& field : fields) {
    if (field.find('\0') != std::string::npos) return Error::from_errno("write to", kObject, EINVAL);
    bytes += field;
    bytes += '\0';
  }
  return send_with_fds(socket, bytes, fds, kSendTimeoutMs);
}

Result<WireMessage> receive_fields(int socket, int timeout_ms) {
  pollfd readable = {socket, POLLIN, 0};
  const int ready = retry_on_eintr([&] { return poll(&readable, 1, timeout_ms); });
  if (ready < 0) return Error::from_errno("wait for", kObject, errno);
  if (ready == 0) return Error::from_errno("wait for", kObject, ETIMEDOUT);
  ReceivedMessage received = TRY(receive_with_fds(socket, kMaxPassedBytes));
  if (received.is_truncated) return Error::from_errno("read from", kObject, EMSGSIZE);
  WireMessage message;
  message.fds = std::move(received.fds);
  std::string_view rest = received.bytes;
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) return Error::from_errno("read from", kObject, EBADMSG);
    message.fields.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return message;
}

Result<WireMessage> ask(int socket, const std::vector<std::string>& request, int timeout_ms, std::span<const int> fds) {
  TRY(send_fields(socket, request, fds));
  WireMessage answer = TRY(receive_fields(socket, timeout_ms));
  if (answer.fields.empty()) return Error::from_errno("ask", kObject, EPIPE);
  if (answer.fields[0] != "error") return answer;
  if (answer.fields.size() != kErrorFields) return Error::from_errno("read from", kObject, EBADMSG);
  return decode_error(answer.fields);
}

}  // namespace tapferry
