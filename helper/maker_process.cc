// SPDX-License-Identifier: MIT
#include "helper/maker_process.h"

#include <cerrno>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/confine.h"
#include "helper/detach.h"
#include "helper/macvtap_maker.h"
#include "helper/queue_node.h"
#include "helper/service_account.h"
#include "helper/warden.h"
#include "net/wire.h"

namespace tapferry {
namespace {

using Fields = std::vector<std::string>;

constexpr const char* kAccount = "tapferry";
constexpr int kWardenTimeoutMs = 5000;

// Should: be out of the caller's reach, with what making a macvtap takes. Must not: parse.
Status become_maker() {
  prctl(PR_SET_NAME, "tapferry-maker", 0, 0, 0);
  const Result<ServiceAccount> account = service_account(kAccount);
  if (account.is_ok())
    return drop_to_service(account.value(), {CAP_NET_ADMIN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_MKNOD});
  TRY(drop_to_bare_root());
  return account.error();
}

// What is needed as soon as there is a request, whatever it says. Afterwards no process can be started.
Result<MacvtapMaker> prepare() {
  std::string node = TRY(fresh_node_path());
  Fd warden = TRY(connect_to_warden(node));
  TRY(raise_capability(CAP_NET_ADMIN));
  Result<Rtnl> rtnl = Rtnl::open();
  TRY(lower_capability(CAP_NET_ADMIN));
  UeventSocket uevents = TRY(UeventSocket::open());
  Rtnl changes = TRY(std::move(rtnl));
  TRY(confine_maker());
  return MacvtapMaker(std::move(changes), std::move(uevents), std::move(warden), std::move(node));
}

Error not_understood(std::string_view verb) { return Error::from_errno("understand", verb, EBADMSG); }

Result<MadeDevice> make(MacvtapMaker& maker, const Identity& who, const Fields& request) {
  MacvtapOrder order;
  order.spec = TRY(parse_spec(request[1]));
  order.rule_label = request[2];
  order.rule_hash = request[3];
  if (request[4] != "-") {
    const auto max = parse_uint(request[4], 1, UINT32_MAX);
    if (!max) return not_understood(request[0]);
    order.quota_max = static_cast<unsigned>(*max);
  }
  order.stays_down = request[5] == "down";
  return maker.make(order, who.uid);
}

Result<MadeDevice> open(MacvtapMaker& maker, const Fields& request) {
  const Spec spec = TRY(parse_spec(request[1]));
  const auto index = parse_uint(request[2], 1, INT32_MAX);
  const auto major_number = parse_uint(request[3], 0, 4095);
  const auto minor_number = parse_uint(request[4], 0, 1048575);
  if (!index || !major_number || !minor_number) return not_understood(request[0]);
  return maker.open(spec, static_cast<int>(*index),
                    makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number)));
}

Status answer(MacvtapMaker& maker, const Identity& who, const Fields& request) {
  const std::string& verb = request[0];
  const auto reply_with = [](Result<MadeDevice> result) -> Status {
    const MadeDevice made = TRY(std::move(result));
    std::vector<int> fds;
    for (const Fd& queue : made.queues) fds.push_back(queue.get());
    return send_fields(kFirstKept, {"made", std::to_string(made.index)}, fds);
  };
  if (verb == "make" && request.size() == 6) return reply_with(make(maker, who, request));
  if (verb == "open" && request.size() == 5) return reply_with(open(maker, request));
  if (verb == "watch" && request.size() == 3) {
    TRY(ask(maker.warden(), {"keep", request[2], request[1]}, kWardenTimeoutMs));
    return send_fields(kFirstKept, {"ok"});
  }
  if (verb == "undo" && request.size() == 1) {
    TRY(maker.undo());
    return send_fields(kFirstKept, {"ok"});
  }
  if (verb == "persist" && request.size() == 1) {
    TRY(maker.persist(who.uid));
    return send_fields(kFirstKept, {"ok"});
  }
  if (verb == "release" && request.size() == 2) {
    const auto index = parse_uint(request[1], 1, INT32_MAX);
    if (!index) return not_understood(verb);
    TRY(maker.release(static_cast<int>(*index), who.uid));
    return send_fields(kFirstKept, {"ok"});
  }
  return not_understood(verb);
}

// Until the front is gone.
void serve(const Identity& who, const Status& begun) {
  std::optional<Result<MacvtapMaker>> maker;
  for (;;) {
    char first;
    if (retry_on_eintr([&] { return recv(kFirstKept, &first, sizeof first, MSG_PEEK); }) <= 0) return;
    // A request is there, and not looked at yet.
    if (!maker) maker.emplace(begun.is_ok() ? prepare() : Result<MacvtapMaker>(begun.error()));
    const Result<WireMessage> request = receive_fields(kFirstKept, 0);
    if (!request.is_ok() || request.value().fields.empty()) return;
    const Status answered =
        maker->is_ok() ? answer(maker->value(), who, request.value().fields) : Status(maker->error());
    if (!answered.is_ok() && !send_fields(kFirstKept, error_fields(answered.error())).is_ok()) return;
  }
}

}  // namespace

void run_maker(const Identity& who, Fd channel) {
  std::vector<Fd> kept;
  kept.push_back(std::move(channel));
  if (!detach_from_caller(std::move(kept)).is_ok() || !send_fields(kFirstKept, {"ready"}).is_ok()) _exit(1);
  serve(who, become_maker());
  _exit(0);
}

}  // namespace tapferry
