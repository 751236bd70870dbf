// SPDX-License-Identifier: MIT
#include "broker/connection.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "base/fd_pass.h"
#include "base/syscall.h"
#include "broker/server.h"

namespace tapferry {
namespace {

// Without a call; within one; and for a reply to be taken.
constexpr unsigned kIdleSeconds = 60;
constexpr unsigned kCallSeconds = 10;
constexpr unsigned kReplySeconds = 5;

// One sendmsg; the descriptors go with its first byte. Bytes sent, or -1 with errno.
ssize_t send_once(int socket, std::string_view bytes, const std::vector<Fd>& fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))] = {};
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  return retry_on_eintr([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

}  // namespace

Connection::Connection(Server* server, Fd socket, uid_t uid) : server_(server), socket_(std::move(socket)), uid_(uid) {
  wait_for_input();
}

Connection::~Connection() {
  if (launch_ != 0) server_->launches().forget(launch_);
}

bool Connection::end() {
  server_->disconnect(this);
  return false;
}

void Connection::wait_for_input() {
  deadline_.after(input_.has_part() ? kCallSeconds : kIdleSeconds, [this] { end(); });
  ready_.watch(socket_.get(), G_IO_IN, [this](GIOCondition) { return read_some(); });
}

// Only for its end: what else he sends waits in the socket.
void Connection::wait_for_helper() {
  deadline_.stop();
  ready_.watch(socket_.get(), 0, [this](GIOCondition) { return end(); });
}

// For a part of a reply that didn't fit.
bool Connection::wait_for_room() {
  if (!deadline_.is_active()) deadline_.after(kReplySeconds, [this] { end(); });
  ready_.watch(socket_.get(), G_IO_OUT, [this](GIOCondition) { return write_some(); });
  return false;
}

// Descriptors that a client sends are dropped by the kernel: there is no room given for them.
bool Connection::read_some() {
  char bytes[4096];
  const ssize_t n = retry_on_eintr([&] { return recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT); });
  if (n < 0 && errno == EAGAIN) return true;
  if (n <= 0) return end();
  const bool had_part = input_.has_part();
  const Status added = input_.add({bytes, static_cast<size_t>(n)});
  if (!added.is_ok()) {
    is_last_reply_ = true;
    reply(malformed_call(added.error()));
    return false;
  }
  // A message has its time from its first byte on, however slowly the others come.
  if (!had_part) deadline_.after(kCallSeconds, [this] { end(); });
  return serve_next();
}

// True when there is no whole call, and the source that is being served stays.
bool Connection::serve_next() {
  const auto message = input_.take();
  if (!message) return true;
  return answer(*message);
}

bool Connection::answer(const std::string& message) {
  const Result<Call> call = parse_call(message);
  if (!call.is_ok()) {
    is_last_reply_ = true;
    return reply(malformed_call(call.error()));
  }
  if (!server_->limits().take_call(uid_, g_get_monotonic_time() / 1000)) {
    return reply(
        broker_error("Busy", "call " + call.value().method + ": too many calls of this user; try again later"));
  }
  // Nobody would get what comes of it.
  if (call.value().is_oneway) return reply({});
  Handled handled = handle_call(call.value(), uid_);
  if (handled.reply) return reply(std::move(*handled.reply));
  const LaunchKind kind = handled.errand->kind;
  wait_for_helper();
  launch_ = server_->launches().add(kind, socket_.get(), uid_, handled.errand->text,
                                    [this, kind](Result<LaunchResult> result) {
                                      launch_ = 0;
                                      reply(reply_to(kind, std::move(result)));
                                    });
  return false;
}

// Never true: what is watched from now on is another source.
bool Connection::reply(Reply reply) {
  output_ = std::move(reply);
  deadline_.stop();
  return write_some();
}

bool Connection::write_some() {
  while (!output_.message.empty()) {
    const ssize_t n = send_once(socket_.get(), output_.message, output_.fds);
    if (n < 0 && errno == EAGAIN) return wait_for_room();
    if (n < 0) return end();
    output_.fds.clear();
    output_.message.erase(0, static_cast<size_t>(n));
  }
  if (is_last_reply_) return end();
  wait_for_input();
  serve_next();
  return false;
}

}  // namespace tapferry
