// SPDX-License-Identifier: MIT
//
// A client of QEMU's machine protocol (QMP: docs/interop/qmp-spec in QEMU's source) on a UNIX socket.
//
// One command at a time: it goes out as one line, its answer comes back, and what else QEMU says meanwhile are events, which
// are passed over unless somebody listens. QEMU serves one client of a monitor at a time: a second one connects, but isn't greeted.
#pragma once

#include <functional>
#include <gio/gio.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "tools/json.h"

namespace tapferry {

class Qmp {
 public:
  // For the greeting, and for each command's answer.
  static constexpr int kTimeoutMs = 5000;

  // Connects, waits for the greeting, and ends the negotiation of capabilities.
  static Result<Qmp> connect(const std::string& path, int timeout_ms = kTimeoutMs);

  // The same over a connected socket to `peer`, which is what errors name. What is there may greet by an error of its own, an
  // object with "action", "object" and "desc". `companion` lives until the socket is closed.
  static Result<Qmp> talk_over(Fd socket, const std::string& peer, std::shared_ptr<void> companion, int timeout_ms);

  // For each command from now on.
  void set_timeout_ms(int timeout_ms) { timeout_ms_ = timeout_ms; }

  // Executes a command and gives its "return". `arguments` is a JSON object or empty; `fds` go along with the command, as getfd
  // and add-fd want them, and stay the caller's. An error of QEMU's is its description and class; is_refusal() tells it
  // from a lost connection, and so does has_ended().
  Result<JsonTree> execute(const std::string& command, const std::string& arguments = "",
                           std::span<const int> fds = {});

  // Whether QEMU itself said no: the connection goes on, and what was asked for wasn't done.
  static bool is_refusal(const Error& error);

  // Hears each event from now on, whole ({"event": ..., "data": {...}}); null: nobody does.
  void on_event(std::function<void(JsonObject*)> listener) { listener_ = std::move(listener); }
  // Listens until `is_done`, which is asked after each event. The error's code is ETIMEDOUT when it takes longer.
  Status listen_until(const std::function<bool()>& is_done, int timeout_ms);

  // Readable when QEMU said something or has gone; then drain().
  int fd() const { return g_socket_get_fd(socket_.get()); }
  // Passes over what is waiting, and never waits. An error means that the connection has ended.
  Status drain();
  bool has_ended() const { return has_ended_; }

 private:
  struct Unref {
    void operator()(GSocket* socket) const { g_object_unref(socket); }
  };
  Qmp(GSocket* socket, std::string path, int timeout_ms)
      : socket_(socket), path_(std::move(path)), timeout_ms_(timeout_ms) {}

  Status shake_hands();
  Error ended(std::string_view reason);
  Status wait(GIOCondition condition, int64_t deadline_us);
  Status send(const std::string& line, std::span<const int> fds, int64_t deadline_us);
  // Takes what is there; false when nothing is.
  Result<bool> receive();
  // The next whole line as an object, parsed; null when there is none yet.
  Result<JsonTree> take_object();
  // The first object that `is_wanted`.
  Result<JsonTree> await(const std::function<bool(JsonObject*)>& is_wanted, int64_t deadline_us);

  std::shared_ptr<void> companion_;  // before the socket, so that it is destroyed after it
  std::unique_ptr<GSocket, Unref> socket_;
  std::string path_;
  int timeout_ms_;
  std::function<void(JsonObject*)> listener_;
  std::string unread_;
  uint64_t last_id_ = 0;
  bool has_ended_ = false;
};

}  // namespace tapferry
