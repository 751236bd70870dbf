// SPDX-License-Identifier: MIT
#include "helper/event_log.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/text.h"
#include "helper/syslog.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferryd";
// systemd's JOURNAL_NATIVE_PROTOCOL: one datagram, NAME=VALUE and a newline each; a value that has a newline would need another
// form, which json_field() makes unnecessary.
constexpr const char* kJournal = "/run/systemd/journal/socket";

Fd connect_to_journal() {
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, kJournal, sizeof address.sun_path - 1);
  if (socket.is_open() && connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    return socket;
  }
  return {};
}

std::string line_of(const Event& event) {
  std::string line = "uid=" + std::to_string(event.uid) + " pid=" + std::to_string(event.client);
  if (event.helper != 0) line += " helper=" + std::to_string(event.helper);
  return line + " method=" + event.verb + " " + json_field("request", event.request) + " " +
         json_field("outcome", event.outcome);
}

std::string journal_entry(const Event& event) {
  const auto field = [](const char* name, const std::string& value) { return std::string(name) + "=" + value + "\n"; };
  return field("MESSAGE", line_of(event)) + field("PRIORITY", std::to_string(LOG_NOTICE)) +
         field("SYSLOG_FACILITY", std::to_string(LOG_AUTHPRIV >> 3)) + field("SYSLOG_IDENTIFIER", kProgram) +
         field("TAPFERRY_UID", std::to_string(event.uid)) + field("TAPFERRY_CLIENT_PID", std::to_string(event.client)) +
         field("TAPFERRY_HELPER_PID", std::to_string(event.helper)) + field("TAPFERRY_METHOD", event.verb) +
         field("TAPFERRY_REQUEST", json_escape(event.request)) + field("TAPFERRY_OUTCOME", json_escape(event.outcome));
}

}  // namespace

EventLog EventLog::connect() {
  Fd journal = connect_to_journal();
  if (journal.is_open()) return {std::move(journal), true};
  Result<Fd> syslog = connect_to_syslog();
  return {syslog.is_ok() ? std::move(syslog).value() : Fd(), false};
}

void EventLog::write(const Event& event) const {
  if (!socket_.is_open()) return;
  const std::string bytes = is_journal_ ? journal_entry(event) : syslog_line(getpid(), line_of(event), kProgram);
  (void)!sendto(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0);
}

}  // namespace tapferry
