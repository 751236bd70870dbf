// SPDX-License-Identifier: MIT
#include "helper/audit.h"

#include <cerrno>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/syscall.h"
#include "helper/confine.h"
#include "helper/detach.h"
#include "helper/syslog.h"

namespace tapferry {
namespace {

// RFC 3164 asks receivers for 1024 bytes; journald and rsyslog take 8 KiB.
constexpr size_t kMaxFacts = 3500;
constexpr int kDeliveryTimeoutMs = 3000;

// The auditor's answers, one byte each; an errno value otherwise.
constexpr unsigned char kDelivered = 0;

// Where the auditor's two descriptors are once everything else is closed.
constexpr int kChannel = kFirstKept;
constexpr int kSyslog = kFirstKept + 1;

// Should: keep two descriptors and uid 0 (where it has it). Must not: parse, or be within the caller's reach.
Result<bool> become_auditor(Fd channel) {
  Fd syslog = TRY(connect_to_syslog());
  const bool has_syslog = syslog.is_open();
  std::vector<Fd> kept;
  kept.push_back(std::move(channel));
  if (has_syslog) kept.push_back(std::move(syslog));
  TRY(detach_from_caller(std::move(kept)));
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
  return syslog_line(who.pid, "uid=" + std::to_string(who.uid) + " pid=" + std::to_string(who.pid) +
                                  " ppid=" + std::to_string(who.parent) + " " + std::string(facts));
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
