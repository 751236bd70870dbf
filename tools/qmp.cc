// SPDX-License-Identifier: MIT
#include "tools/qmp.h"

#include <cerrno>
#include <gio/gunixfdmessage.h>
#include <gio/gunixsocketaddress.h>

namespace tapferry {
namespace {

constexpr const char* kConnect = "connect to QEMU at";
constexpr const char* kTalk = "talk to QEMU at";
constexpr const char* kExecute = "have QEMU do";
// The longest answer, query-qmp-schema's, has a quarter of a megabyte.
constexpr size_t kMaxLine = 4 << 20;

constexpr const char* kOneClient = "QEMU serves one client of a QMP socket at a time";

int64_t deadline_after(int timeout_ms) { return g_get_monotonic_time() + int64_t{timeout_ms} * 1000; }

}  // namespace

Result<Qmp> Qmp::connect(const std::string& path, int timeout_ms) {
  g_autoptr(GError) error = nullptr;
  GSocket* socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, &error);
  if (socket == nullptr) return Error(kConnect, path, error->message);
  Qmp qmp(socket, path, timeout_ms);
  g_socket_set_blocking(socket, FALSE);
  g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path.c_str());
  if (!g_socket_connect(socket, address, nullptr, &error)) return Error(kConnect, path, error->message);
  TRY(qmp.shake_hands());
  return qmp;
}

Result<Qmp> Qmp::talk_over(Fd socket, const std::string& peer, std::shared_ptr<void> companion, int timeout_ms) {
  g_autoptr(GError) error = nullptr;
  GSocket* made = g_socket_new_from_fd(socket.get(), &error);
  if (made == nullptr) return Error(kConnect, peer, error->message);
  (void)socket.release();
  Qmp qmp(made, peer, timeout_ms);
  qmp.companion_ = std::move(companion);
  g_socket_set_blocking(made, FALSE);
  TRY(qmp.shake_hands());
  return qmp;
}

Status Qmp::shake_hands() {
  const auto is_greeting = [](JsonObject* object) {
    return object_member(object, "QMP") != nullptr || object_member(object, "error") != nullptr;
  };
  auto greeting = await(is_greeting, deadline_after(timeout_ms_));
  if (!greeting.is_ok() && greeting.error().code() == ETIMEDOUT) {
    return std::move(greeting).error().with_hint(kOneClient);
  }
  const JsonTree first = TRY(std::move(greeting));
  if (JsonObject* failure = object_member(json_node_get_object(first.get()), "error")) {
    return Error(text_member(failure, "action"), text_member(failure, "object"), text_member(failure, "desc"));
  }
  TRY(execute("qmp_capabilities"));
  return {};
}

Result<JsonTree> Qmp::execute(const std::string& command, const std::string& arguments, std::span<const int> fds) {
  const int64_t deadline = deadline_after(timeout_ms_);
  const std::string id = std::to_string(++last_id_);
  JsonWriter writer;
  writer.text("execute", command);
  if (!arguments.empty()) writer.json("arguments", arguments);
  writer.text("id", id);
  TRY(send(writer.take_line(), fds, deadline));
  JsonTree answer = TRY(await([&](JsonObject* object) { return text_member(object, "id") == id; }, deadline));
  JsonObject* object = json_node_get_object(answer.get());
  if (JsonObject* failure = object_member(object, "error")) {
    const std::string words = text_member(failure, "desc");
    return Error(kExecute, command, words.empty() ? "it failed" : words).with_detail(text_member(failure, "class"));
  }
  if (!json_object_has_member(object, "return")) return Error(kTalk, path_, "it answered neither return nor error");
  return JsonTree(json_object_dup_member(object, "return"));
}

bool Qmp::is_refusal(const Error& error) { return error.action() == kExecute; }

Status Qmp::listen_until(const std::function<bool()>& is_done, int timeout_ms) {
  const int64_t deadline = deadline_after(timeout_ms);
  while (!is_done()) {
    if (TRY(take_object()) != nullptr) continue;
    TRY(wait(G_IO_IN, deadline));
    TRY(receive());
  }
  return {};
}

Status Qmp::drain() {
  while (TRY(receive())) {
    while (TRY(take_object())) {
    }
  }
  return {};
}

Error Qmp::ended(std::string_view reason) {
  has_ended_ = true;
  return {kTalk, path_, reason};
}

Status Qmp::wait(GIOCondition condition, int64_t deadline_us) {
  g_autoptr(GError) error = nullptr;
  const int64_t left = std::max<int64_t>(deadline_us - g_get_monotonic_time(), 0);
  if (g_socket_condition_timed_wait(socket_.get(), condition, left, nullptr, &error)) return {};
  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) return Error::from_errno(kTalk, path_, ETIMEDOUT);
  return Error(kTalk, path_, error->message);
}

Status Qmp::send(const std::string& line, std::span<const int> fds, int64_t deadline_us) {
  g_autoptr(GSocketControlMessage) passed = nullptr;
  if (!fds.empty()) {
    passed = g_unix_fd_message_new();
    for (const int fd : fds) {
      g_autoptr(GError) error = nullptr;
      if (!g_unix_fd_message_append_fd(G_UNIX_FD_MESSAGE(passed), fd, &error)) {
        return Error("pass a descriptor to QEMU at", path_, error->message);
      }
    }
  }
  for (size_t sent = 0; sent < line.size();) {
    TRY(wait(G_IO_OUT, deadline_us));
    g_autoptr(GError) error = nullptr;
    GOutputVector part = {line.data() + sent, line.size() - sent};
    // The descriptors go with the first byte.
    const int messages = passed != nullptr && sent == 0 ? 1 : 0;
    const ssize_t n = g_socket_send_message(socket_.get(), nullptr, &part, 1, &passed, messages, 0, nullptr, &error);
    if (n < 0 && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) continue;
    if (n < 0) return ended(error->message);
    sent += static_cast<size_t>(n);
  }
  return {};
}

Result<bool> Qmp::receive() {
  char buffer[4096];
  g_autoptr(GError) error = nullptr;
  const ssize_t n = g_socket_receive(socket_.get(), buffer, sizeof buffer, nullptr, &error);
  if (n < 0 && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) return false;
  if (n < 0) return ended(error->message);
  if (n == 0) return ended("it closed the connection");
  unread_.append(buffer, static_cast<size_t>(n));
  if (unread_.size() > kMaxLine) return ended("it sent a line without end");
  return true;
}

Result<JsonTree> Qmp::take_object() {
  const size_t end = unread_.find('\n');
  if (end == std::string::npos) return JsonTree();
  const std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  g_autoptr(GError) error = nullptr;
  JsonTree tree(json_from_string(line.c_str(), &error));
  if (tree == nullptr || !JSON_NODE_HOLDS_OBJECT(tree.get())) return ended("it sent something that is no QMP");
  JsonObject* object = json_node_get_object(tree.get());
  if (listener_ && json_object_has_member(object, "event")) listener_(object);
  return tree;
}

Result<JsonTree> Qmp::await(const std::function<bool(JsonObject*)>& is_wanted, int64_t deadline_us) {
  for (;;) {
    while (JsonTree tree = TRY(take_object())) {
      if (is_wanted(json_node_get_object(tree.get()))) return tree;
    }
    TRY(wait(G_IO_IN, deadline_us));
    TRY(receive());
  }
}

}  // namespace tapferry
