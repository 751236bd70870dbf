// SPDX-License-Identifier: MIT
#include "helper/audit.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/syscall.h"
#include "helper/confine.h"

namespace tapferry {
namespace {

constexpr const char* kSyslogSocket = "/dev/log";
// RFC 3164 asks receivers for 1024 bytes; journald and rsyslog take 8 KiB.
constexpr size_t kMaxFacts = 3500;
constexpr int kDeliveryTimeoutMs = 3000;

// The auditor's answers, one byte each; an errno value otherwise.
constexpr unsigned char kDelivered = 0;

// Where the auditor's two descriptors are once everything else is closed.
constexpr int kChannel = 3;
constexpr int kSyslog = 4;

// Connected to syslog; not open where nobody listens.
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

// Moves `fd` to the number `wanted`, which may be in use by something that isn't needed any more.
Status move_to(Fd fd, int wanted) {
  const int result = dup2(fd.get(), wanted);
  if (fd.get() == wanted) (void)fd.release();
  if (result < 0) return Error::from_errno("move", "descriptors", errno);
  return {};
}

// A copy with a number out of the way of the fixed ones.
Result<Fd> lift(const Fd& fd) {
  Fd high(fcntl(fd.get(), F_DUPFD_CLOEXEC, 16));
  if (!high.is_open()) return Error::from_errno("move", "descriptors", errno);
  return high;
}

// Stdio goes to /dev/null, the two that matter to fixed numbers; the caller's socket and everything else is closed.
Status keep_only(const Fd& channel, const Fd& syslog) {
  Fd high_null = TRY(lift(TRY(open_file("/dev/null", O_RDWR))));
  Fd high_channel = TRY(lift(channel));
  Fd high_syslog = syslog.is_open() ? TRY(lift(syslog)) : Fd();
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(high_null.get(), fd) < 0) return Error::from_errno("move", "descriptors", errno);
  }
  const unsigned kept = high_syslog.is_open() ? kSyslog : kChannel;
  TRY(move_to(std::move(high_channel), kChannel));
  if (high_syslog.is_open()) TRY(move_to(std::move(high_syslog), kSyslog));
  high_null.reset();
  if (close_range(kept + 1, ~0u, 0) != 0) return Error::from_errno("close", "descriptors", errno);
  return {};
}

// Should: keep two descriptors and uid 0 (where it has it). Must not: parse, or be within the caller's reach.
Result<bool> become_auditor(Fd channel) {
  if (setsid() < 0) return Error::from_errno("start", "a session", errno);
  if (chdir("/") != 0) return Error::from_errno("change to", "/", errno);
  Fd syslog = TRY(connect_to_syslog());
  const bool has_syslog = syslog.is_open();
  TRY(keep_only(channel, syslog));
  // Closed in keep_only, or one of the fixed numbers by now.
  (void)channel.release();
  (void)syslog.release();
  TRY(drop_to_bare_root());
  TRY(confine_auditor());
  return has_syslog;
}

// 0, or why the line isn't with syslog. The socket's own buffer being full is waited for, up to the timeout.
int deliver(const std::string& line) {
  for (int waited_ms = 0;;) {
    if (retry_on_eintr(
            [&] { return sendto(kSyslog, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0); }) >= 0) {
      return 0;
    }
    // Syslog restarted meanwhile, or stopped for good: as if nobody had listened from the beginning.
    if (errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET) return 0;
    if (errno != EAGAIN) return errno;
    if (waited_ms >= kDeliveryTimeoutMs - 1000) return ETIMEDOUT;
    // POLLOUT of a connected datagram socket tells of the receiver's queue only roughly, hence the short steps.
    pollfd nothing = {-1, 0, 0};
    poll(&nothing, 1, 50);
    waited_ms += 50;
  }
}

std::string audit_line(const Identity& who, std::string_view facts) {
  std::string line =
      "<" + std::to_string(LOG_AUTHPRIV | LOG_NOTICE) + ">tapferry-helper[" + std::to_string(who.pid) + "]: ";
  line += "uid=" + std::to_string(who.uid) + " pid=" + std::to_string(who.pid) + " ppid=" + std::to_string(who.parent) +
          " ";
  // ASCII only: whoever reads a log must not be fooled by letters that look alike or turn the line around.
  for (const char c : facts) line += c < 0x20 || c >= 0x7f ? '?' : c;
  return line;
}

void serve(const Identity& who, bool has_syslog) {
  char facts[kMaxFacts];
  for (;;) {
    const ssize_t n = retry_on_eintr([&] { return recv(kChannel, facts, sizeof facts, 0); });
    if (n <= 0) return;
    const std::string line = audit_line(who, {facts, static_cast<size_t>(n)});
    const auto answer = static_cast<unsigned char>(has_syslog ? deliver(line) : kDelivered);
    if (send(kChannel, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) return;
  }
}

[[noreturn]] void run_auditor(const Identity& who, Fd channel) {
  const Result<bool> has_syslog = become_auditor(std::move(channel));
  // The front learns of a failure by the end of the channel.
  if (has_syslog.is_ok()) serve(who, has_syslog.value());
  _exit(0);
}

}  // namespace

Result<Auditor> Auditor::start(const Identity& who) {
  auto [front, back] = TRY(socket_pair(SOCK_SEQPACKET));
  const pid_t child = fork();
  if (child < 0) return Error::from_errno("start", "the audit process", errno);
  if (child == 0) {
    front.reset();
    run_auditor(who, std::move(back));
  }
  return Auditor(std::move(front), child);
}

Auditor::~Auditor() {
  if (!channel_.is_open()) return;
  channel_.reset();
  retry_on_eintr([&] { return waitpid(child_, nullptr, 0); });
}

Status Auditor::record(std::string_view facts) {
  facts = facts.substr(0, kMaxFacts);
  const auto fail = [](int code) {
    return Error::from_errno("write", "the audit line", code)
        .with_hint("see whether the system's log (/dev/log) works");
  };
  if (send(channel_.get(), facts.data(), facts.size(), MSG_NOSIGNAL) < 0) return fail(errno);
  pollfd answered = {channel_.get(), POLLIN, 0};
  const int ready = retry_on_eintr([&] { return poll(&answered, 1, kDeliveryTimeoutMs); });
  if (ready < 0) return fail(errno);
  if (ready == 0) return fail(ETIMEDOUT);
  unsigned char answer = 0;
  const ssize_t n = retry_on_eintr([&] { return recv(channel_.get(), &answer, sizeof answer, 0); });
  if (n < 0) return fail(errno);
  if (n == 0) return fail(EPIPE);
  if (answer != kDelivered) return fail(answer);
  return {};
}

}  // namespace tapferry
