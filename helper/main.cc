// SPDX-License-Identifier: MIT
//
// tapferry-helper: hands a tap to a program that may not make one. Setuid root, or with file capabilities.
//
// Read it as its stages, in order. Each says what it should and must not do; docs/PRIVILEGE.md argues them. Nothing that
// the caller chose (arguments, policy includes that only he may read, names) is parsed before stage 2 is over.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <new>
#include <sys/fsuid.h>
#include <unistd.h>
#include <vector>

#include "base/fd.h"
#include "base/fd_pass.h"
#include "base/log.h"
#include "base/result.h"
#include "base/syscall.h"
#include "base/text.h"
#include "config.h"
#include "helper/accounts.h"
#include "helper/audit.h"
#include "helper/confine.h"
#include "helper/handover.h"
#include "helper/policy.h"
#include "helper/policy_explain.h"
#include "helper/policy_load.h"
#include "helper/privilege.h"
#include "helper/request.h"
#include "helper/sane.h"
#include "helper/sweep.h"
#include "net/rtnl.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferry-helper";
constexpr const char* kTunNode = "/dev/net/tun";
constexpr const char* kPolicy = TAPFERRY_POLICY_PATH;
constexpr const char* kQemuPolicy = "/etc/qemu/bridge.conf";
// How long a receiver may leave its socket's buffer full.
constexpr int kSendTimeoutMs = 5000;

// What stage 1 takes along. Failures that matter only if something is handed over are kept, so that --help and --explain
// work without privilege, and a refused request is refused for the reason that the caller can do something about.
struct Opened {
  Identity caller;
  bool has_net_admin = false;
  std::string why_not;
  Result<Auditor> auditor;
  Result<Rtnl> rtnl;
  Result<Rtnl> scan;
  Result<std::vector<Fd>> tun;
};

// The tap's socket belongs to the fsuid that opens the node, so the caller opens it where its mode lets him.
Result<Fd> open_tun(uid_t caller) {
  const auto own = static_cast<uid_t>(setfsuid(caller));
  Result<Fd> tun = open_file(kTunNode, O_RDWR);
  setfsuid(own);
  if (static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))) != own)
    return Error::from_errno("return to", "uid 0", EPERM);
  if (tun.is_ok() || tun.error().code() != EACCES) return tun;
  return open_file(kTunNode, O_RDWR);
}

Result<std::vector<Fd>> open_tun_queues(uid_t caller, unsigned count) {
  std::vector<Fd> queues;
  for (unsigned i = 0; i < count; ++i) {
    Result<Fd> tun = open_tun(caller);
    if (!tun.is_ok()) return Error("failed to open", kTunNode, tun.error().reason());
    queues.push_back(std::move(tun).value());
  }
  return queues;
}

// Stage 1. Should: learn who asks, fork the auditor, open the tun node (as the caller, and only if its mode forbids that as
// root) and the rtnetlink sockets. Must not: parse.
Result<Opened> open_everything(int argc, char* argv[]) {
  Identity caller = TRY(identify_caller());
  const bool can_act = has_net_admin();
  if (!can_act) {
    const Error error("get", "CAP_NET_ADMIN", why_without_net_admin());
    return Opened{caller, false, error.reason(), error, error, error, error};
  }
  Result<Auditor> auditor = Auditor::start(caller);
  Result<std::vector<Fd>> tun = open_tun_queues(caller.uid, most_queues_asked(argc, argv));
  return Opened{caller, true, "", std::move(auditor), Rtnl::open(), Rtnl::open(Rtnl::kSmallestReceive), std::move(tun)};
}

// Stage 2. Should: become the caller, with CAP_NET_ADMIN permitted but not effective, and confine what is left to do. Must
// not: come back.
Status drop(const Opened& opened) {
  TRY(drop_privileges(opened.caller, opened.has_net_admin));
  return confine_front();
}

// Reading the account files takes longer than deciding, and most policies of one line name nobody.
bool needs_accounts(const Policy& policy, Action action) {
  return action == Action::kExplain || std::any_of(policy.rules.begin(), policy.rules.end(), [](const Rule& rule) {
           return !rule.users.empty() || !rule.groups.empty();
         });
}

struct Decision {
  Policy policy;
  Caller caller;
  Verdict verdict;
};

// Stage 3. Should: read the policy with the caller's rights, decide. Must not: create anything.
Result<Decision> decide_request(const Request& request, const Identity& identity) {
  PolicyPaths paths = {kPolicy, kQemuPolicy};
  std::optional<uid_t> trusted_uid;
  if (request.policy_path) {
    if (is_more_privileged_than_caller()) {
      return Error("use", "--policy=" + *request.policy_path, "not for a program with more privilege than its caller")
          .with_hint("the policy is " + paths.policy);
    }
    paths = {*request.policy_path, ""};
    trusted_uid = identity.uid;
  }
  Decision decision;
  Result<Policy> policy = load_policy(paths, trusted_uid);
  if (!policy.is_ok()) {
    return Error("failed to parse default acl file", "`" + paths.policy + "'", policy.error().line());
  }
  decision.policy = std::move(policy).value();
  Accounts accounts;
  if (needs_accounts(decision.policy, request.action)) accounts = TRY(load_accounts("/etc/passwd", "/etc/group"));
  decision.caller = describe_caller(identity.uid, identity.gid, identity.groups, accounts);
  decision.verdict = decide(decision.policy, accounts, decision.caller, request.spec, {request.is_br_form});
  return decision;
}

// The audit line's fields; what comes from strangers is in quotes, as JSON has them.
std::string refused_facts(std::string_view request, const Error& why) {
  return json_field("request", request) + " result=refused " + json_field("reason", why.line());
}

std::string granted_facts(std::string_view request, const Grant& grant) {
  return json_field("request", request) + " result=granted " + json_field("interface", grant.ifname) +
         " ifindex=" + std::to_string(grant.ifindex) + " " + json_field("rule", grant.rule);
}

// The refusal stands whether or not it could be written down.
Error refused(Opened& opened, std::string_view request, const Error& why) {
  if (opened.auditor.is_ok()) (void)opened.auditor.value().record(refused_facts(request, why)).is_ok();
  return why;
}

// What couldn't be parsed, for the audit line.
std::string command_line(int argc, char* argv[]) {
  std::string text;
  for (int i = 1; i < argc && text.size() < kMaxSpecLength; ++i) text += (i > 1 ? " " : "") + std::string(argv[i]);
  return text.substr(0, kMaxSpecLength);
}

// Stage 4. Should: make the interface, one privileged operation at a time. Must not: leave anything if a step fails.
Result<HandOver> act(Opened& opened, const Decision& decision) {
  TRY(check_supported(decision.verdict.effective));
  if (!opened.tun.is_ok()) return opened.tun.error();
  if (!opened.rtnl.is_ok()) return opened.rtnl.error();
  if (!opened.scan.is_ok()) return opened.scan.error();
  TRY(sweep_some(opened.rtnl.value(), std::move(opened.scan).value()));
  return make_interface(opened.rtnl.value(), std::move(opened.tun).value(), opened.caller, decision.verdict);
}

Error send_error(const Error& error) {
  return Error("failed to write fd to unix socket", "", error.object() + ": " + error.reason());
}

// Stage 5. Should: write the audit line, then send the one message. Must not: send anything if the line can't be written.
Status send(Opened& opened, const Request& request, const HandOver& made) {
  if (!opened.auditor.is_ok()) return opened.auditor.error();
  TRY(opened.auditor.value().record(granted_facts(request.spec_text, made.grant)));
  std::vector<int> fds;
  for (const Fd& queue : made.queues) {
    TRY(set_nonblocking(queue.get(), !request.is_br_form));
    fds.push_back(queue.get());
  }
  const std::string message = request.is_br_form ? std::string(1, '\0') : to_json_line(made.grant);
  const Status sent = send_with_fds(request.fd, message, fds, kSendTimeoutMs);
  if (sent.is_ok()) return {};
  return send_error(sent.error());
}

// Before the policy: in a user namespace its files may not even seem to be root's, and that isn't the cause.
Status check_privilege(const Opened& opened) {
  if (opened.has_net_admin) return {};
  return Error("failed to create tun device", "", "no CAP_NET_ADMIN: " + opened.why_not)
      .with_hint(
          "install the helper setuid root; where that can't work, tapferryd is the way, which is not in this release");
}

Status hand_over(Opened& opened, const Request& request) {
  TRY(check_privilege(opened));
  const Status usable = check_passing_socket(request.fd);
  if (!usable.is_ok()) return refused(opened, request.spec_text, send_error(usable.error()));
  const Result<Decision> decision = decide_request(request, opened.caller);
  if (!decision.is_ok()) return refused(opened, request.spec_text, decision.error());
  if (!decision.value().verdict.is_allowed)
    return refused(opened, request.spec_text, access_denied(request.spec, opened.caller));
  Result<HandOver> made = act(opened, decision.value());
  if (!made.is_ok()) return refused(opened, request.spec_text, made.error());
  const Status sent = send(opened, request, made.value());
  if (sent.is_ok()) {
    opened.auditor.value().detach();
    return {};
  }
  const Error failure = refused(opened, request.spec_text, sent.error());
  const Status undone = take_back(opened.rtnl.value(), std::move(made).value());
  if (!undone.is_ok()) log_error(kProgram, undone.error());
  return failure;
}

Status explain(const Opened& opened, const Request& request) {
  TRY(give_up_net_admin());
  const Result<Decision> decision = decide_request(request, opened.caller);
  Caller nameless;
  nameless.uid = opened.caller.uid;
  const std::string json = decision.is_ok() ? explain_json(decision.value().policy, decision.value().caller,
                                                           request.spec, decision.value().verdict)
                                            : explain_json(decision.error(), nameless, request.spec_text);
  return write_all(STDOUT_FILENO, json + "\n", "standard output");
}

Status run(int argc, char* argv[]) {
  TRY(make_sane());  // stage 0
  if (argc < 1)
    return Error("start", "", "no argument at all, not even a name").with_hint(usage().substr(0, usage().find('\n')));
  Opened opened = TRY(open_everything(argc, argv));  // stage 1
  TRY(drop(opened));                                 // stage 2
  const Result<Request> parsed = parse_request(argc, argv);
  if (!parsed.is_ok()) return refused(opened, command_line(argc, argv), parsed.error());
  const Request& request = parsed.value();
  switch (request.action) {
    case Action::kHelp: return write_all(STDOUT_FILENO, usage(), "standard output");
    case Action::kVersion: return write_all(STDOUT_FILENO, "tapferry-helper " TAPFERRY_VERSION "\n", "standard output");
    case Action::kExplain: return explain(opened, request);     // stage 3 alone
    case Action::kHandOver: return hand_over(opened, request);  // stages 3 to 5
  }
  return {};
}

// The caller set a limit on memory that could not be raised.
void report_no_memory() {
  log_line(kProgram, "get memory: Cannot allocate memory; raise the limit on memory (ulimit -v)");
  _exit(1);
}

}  // namespace
}  // namespace tapferry

int main(int argc, char* argv[]) {
  std::set_new_handler(tapferry::report_no_memory);
  const tapferry::Status status = tapferry::run(argc, argv);
  if (!status.is_ok()) tapferry::log_error(tapferry::kProgram, status.error());
  // Stage 6: gone. Whatever wasn't sent is closed by now.
  _exit(status.is_ok() ? 0 : 1);
}
