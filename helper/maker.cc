// SPDX-License-Identifier: MIT
#include "helper/maker.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/maker_process.h"
#include "helper/ovs_keeper.h"
#include "net/wire.h"

namespace tapferry {
namespace {

// Longer than anything that the maker waits for itself.
constexpr int kAnswerTimeoutMs = 20000;
// For the maker's end, which comes at once unless it was stopped.
constexpr int kEndTimeoutMs = 5000;

Result<MadeDevice> made_device(Result<WireMessage> answer, unsigned queues) {
  WireMessage message = TRY(std::move(answer));
  MadeDevice made;
  const auto index = message.fields.size() == 2 ? parse_uint(message.fields[1], 1, INT32_MAX) : std::nullopt;
  if (!index || message.fds.size() != queues) return Error::from_errno("understand", "the maker", EBADMSG);
  made.index = static_cast<int>(*index);
  made.queues = std::move(message.fds);
  return made;
}

}  // namespace

Result<Maker> Maker::start(const Identity& who, bool is_for_ovs) {
  auto [front, back] = TRY(socket_pair(SOCK_SEQPACKET));
  const pid_t child = fork();
  if (child < 0) return Error::from_errno("start", "the process that makes macvtaps", errno);
  if (child == 0) {
    front.reset();
    if (is_for_ovs) run_ovs_keeper(who, std::move(back));
    run_maker(who, std::move(back));
  }
  return Maker(std::move(front), child, Fd(static_cast<int>(syscall(SYS_pidfd_open, child, 0))));
}

Maker::~Maker() {
  if (!channel_.is_open()) return;
  channel_.reset();
  pollfd ended = {process_.get(), POLLIN, 0};
  const int ready = process_.is_open() ? retry_on_eintr([&] { return poll(&ended, 1, kEndTimeoutMs); }) : -1;
  retry_on_eintr([&] { return waitpid(child_, nullptr, ready == 0 ? WNOHANG : 0); });
}

Status Maker::wait_until_ready() {
  if (is_ready_) return {};
  const Result<WireMessage> said = receive_fields(channel_.get(), kAnswerTimeoutMs);
  if (!said.is_ok() || said.value().fields.empty()) {
    return Error::from_errno("start", "the process that makes macvtaps", said.is_ok() ? EPIPE : said.error().code());
  }
  is_ready_ = true;
  return {};
}

void Maker::detach() {
  (void)wait_until_ready().is_ok();
  channel_.reset();
}

Result<WireMessage> Maker::ask(const std::vector<std::string>& request) {
  TRY(wait_until_ready());
  return tapferry::ask(channel_.get(), request, kAnswerTimeoutMs);
}

Result<MadeDevice> Maker::make_macvtap(const MacvtapOrder& order) {
  const std::vector<std::string> request = {"make",
                                            to_string(order.spec),
                                            order.rule_label,
                                            order.rule_hash,
                                            order.quota_max ? std::to_string(*order.quota_max) : "-",
                                            order.stays_down ? "down" : "-"};
  return made_device(ask(request), order.spec.queues);
}

Result<MadeDevice> Maker::open_device(const Spec& spec, int ifindex, dev_t device) {
  const std::vector<std::string> request = {"open", to_string(spec), std::to_string(ifindex),
                                            std::to_string(major(device)), std::to_string(minor(device))};
  return made_device(ask(request), spec.queues);
}

Status Maker::watch_tap(const Spec& spec, int ifindex) {
  TRY(ask({"watch", to_string(spec), std::to_string(ifindex)}));
  return {};
}

Status Maker::persist() {
  TRY(ask({"persist"}));
  return {};
}

Status Maker::release(int ifindex) {
  TRY(ask({"release", std::to_string(ifindex)}));
  return {};
}

Status Maker::add_ovs_port(const Spec& spec, int ifindex) {
  TRY(ask({"port", to_string(spec), std::to_string(ifindex)}));
  return {};
}

Status Maker::undo() {
  TRY(ask({"undo"}));
  return {};
}

bool needs_warden(const Spec& spec) {
  return spec.kind == Kind::kMacvtap || spec.lock.value_or(false) || (spec.filter && spec.filter->is_auto);
}

}  // namespace tapferry
