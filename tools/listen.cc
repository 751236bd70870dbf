// SPDX-License-Identifier: MIT
#include "tools/listen.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "tools/stop_signals.h"

namespace tapferry {
namespace {

constexpr int kMessageTimeoutMs = 30000;
// For what an honest sender doesn't send: anything behind the message.
constexpr int kTrailingTimeoutMs = 1000;

class Listener {
 public:
  static Result<Listener> bind_at(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
      return Error::from_errno("listen at", path, path.empty() ? EINVAL : ENAMETOOLONG);
    }
    memcpy(address.sun_path, path.data(), path.size());
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return Error::from_errno("listen at", path, errno);
    // The mode holds from birth: bind(2) makes the node with what the umask leaves.
    const mode_t before = umask(0177);
    const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int code = errno;
    umask(before);
    if (bound != 0 && code == EADDRINUSE) {
      return Error::from_errno("listen at", path, EEXIST).with_hint("remove it, or choose another path");
    }
    if (bound != 0) return Error::from_errno("listen at", path, code);
    Listener listener(std::move(fd), path);
    if (listen(listener.fd_.get(), 1) != 0) return Error::from_errno("listen at", path, errno);
    return listener;
  }
  Listener(Listener&& other) noexcept : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, "")) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener() {
    if (!path_.empty()) unlink(path_.c_str());
  }

  Result<Fd> accept_one(const StopSignals& signals) const {
    TRY(signals.wait(fd_.get(), -1));
    Fd peer(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.is_open()) return Error::from_errno("accept at", path_, errno);
    return peer;
  }

 private:
  Listener(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::string path_;
};

Result<Fd> accept_at(const std::string& path, const StopSignals& signals) {
  return TRY(Listener::bind_at(path))
  .accept_one(signals);
}

Status receive_trailing(int peer, const StopSignals& signals, Answer* answer) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::chrono::milliseconds(kTrailingTimeoutMs);
  while (steady_clock::now() < end && TRY(signals.wait(peer, kTrailingTimeoutMs))) {
    const ReceivedMessage more = TRY(receive_with_fds(peer, kMaxPassedBytes));
    if (more.bytes.empty() && more.fds.empty()) break;
    answer->trailing_bytes += more.bytes.size();
    answer->trailing_fds += more.fds.size();
  }
  return {};
}

}  // namespace

Result<Answer> receive_at(const std::string& path) {
  const StopSignals signals;
  const Fd peer = TRY(accept_at(path, signals));
  if (!TRY(signals.wait(peer.get(), kMessageTimeoutMs))) {
    return Error::from_errno("receive at", path, ETIMEDOUT);
  }
  ReceivedMessage message = TRY(receive_with_fds(peer.get(), kMaxPassedBytes + 1));
  if (message.bytes.empty() && message.fds.empty()) {
    return Error("receive at", path, "the peer closed the connection and sent nothing");
  }
  Answer answer;
  answer.request = path;
  answer.bytes = std::move(message.bytes);
  answer.fds = std::move(message.fds);
  answer.is_truncated = message.is_truncated;
  TRY(receive_trailing(peer.get(), signals, &answer));
  return answer;
}

}  // namespace tapferry
