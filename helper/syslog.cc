// SPDX-License-Identifier: MIT
#include "helper/syslog.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/text.h"

namespace tapferry {
namespace {

constexpr const char* kSyslogSocket = "/dev/log";

}  // namespace

Result<Fd> connect_to_syslog() {
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return Error::from_errno("make", "a socket", errno);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, kSyslogSocket, sizeof address.sun_path - 1);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED) return Fd();
  return Error::from_errno("connect to", kSyslogSocket, errno);
}

std::string syslog_line(int pid, std::string_view text, std::string_view program) {
  std::string line =
      "<" + std::to_string(LOG_AUTHPRIV | LOG_NOTICE) + ">" + std::string(program) + "[" + std::to_string(pid) + "]: ";
  for (const char c : text) line += c < 0x20 || c >= 0x7f ? '?' : c;
  return line;
}

void log_removal(const Fd& syslog, const Removal& removal) {
  if (!syslog.is_open()) return;
  std::string text = "uid=" + std::to_string(removal.uid) + " pid=" + std::to_string(getpid()) + " " +
                     json_field("interface", removal.name) + " ifindex=" + std::to_string(removal.index) +
                     " result=" + (removal.failure.empty() ? "removed " : "not-removed ") +
                     json_field("reason", removal.reason);
  if (!removal.failure.empty()) text += " " + json_field("failure", removal.failure);
  const std::string line = syslog_line(getpid(), text);
  (void)!sendto(syslog.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0);
}

}  // namespace tapferry
