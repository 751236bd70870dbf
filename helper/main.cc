// SPDX-License-Identifier: MIT
//
// tapferry-helper: hands a tap to a program that may not make one. Setuid root, or with file capabilities.
//
// Read it as its stages, in order. Each says what it should and must not do; docs/PRIVILEGE.md argues them. Nothing that
// the caller chose (arguments, policy includes that only he may read, names) is parsed before stage 2 is over.
#include <algorithm>
#include <cerrno>
#include <new>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/fd_pass.h"
#include "base/log.h"
#include "base/result.h"
#include "base/syscall.h"
#include "base/text.h"
#include "config.h"
#include "helper/accounts.h"
#include "helper/acquire.h"
#include "helper/confine.h"
#include "helper/device.h"
#include "helper/granted.h"
#include "helper/handover.h"
#include "helper/policy.h"
#include "helper/policy_explain.h"
#include "helper/policy_load.h"
#include "helper/privilege.h"
#include "helper/privileged.h"
#include "helper/request.h"
#include "helper/sane.h"
#include "helper/sweep.h"
#include "net/tun.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferry-helper";
constexpr const char* kPolicy = TAPFERRY_POLICY_PATH;
constexpr const char* kQemuPolicy = "/etc/qemu/bridge.conf";
// How long a receiver may leave its socket's buffer full.
constexpr int kSendTimeoutMs = 5000;
// How long a refusal's line may lie in the pipe that stderr is.
constexpr int kReadTimeoutMs = 100;
// Bytes of a field of the audit line, escaped; docs/PROTOCOL.md has them.
constexpr size_t kMaxAuditedRequest = 1600;
constexpr size_t kMaxAuditedReason = 1500;

// Stage 2. Should: become the caller, with CAP_NET_ADMIN permitted but not effective, and confine what is left to do. Must
// not: come back.
Status drop(const Acquired& acquired) {
  TRY(drop_privileges(acquired.caller, acquired.has_net_admin));
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
  // Of device=, looked for once: what the caller can make a path mean another time wasn't decided about.
  Result<Device> device = Error("open device", "", "none was asked for");
};

// device= is decided for the device, by whichever of its names it was asked for; one that can't be found has no others.
RequestForm form_of(const Request& request, Result<Rtnl>& rtnl, Result<Device>* device) {
  RequestForm form = {request.is_br_form};
  if (request.spec.kind != Kind::kDevice || !rtnl.is_ok()) return form;
  *device = find_device(rtnl.value(), request.spec.object);
  if (device->is_ok()) form.device_names = names_of(rtnl.value(), device->value());
  return form;
}

struct PolicySource {
  PolicyPaths paths = {kPolicy, kQemuPolicy};
  std::optional<uid_t> trusted_uid;
};

Result<PolicySource> choose_policy(const Request& request, const Identity& caller) {
  PolicySource source;
  if (!request.policy_path) return source;
  if (is_more_privileged_than_caller()) {
    return Error("use", "--policy=" + *request.policy_path, "not for a program with more privilege than its caller")
        .with_hint("the policy is " + source.paths.policy);
  }
  return PolicySource{{*request.policy_path, ""}, caller.uid};
}

// Stage 3. Should: read the policy with the caller's rights, decide. Must not: create anything.
Result<Decision> decide_request(const Request& request, Acquired& acquired) {
  const Identity& identity = acquired.caller;
  const PolicySource source = TRY(choose_policy(request, identity));
  Decision decision;
  Result<Policy> policy = load_policy(source.paths, source.trusted_uid);
  if (!policy.is_ok()) {
    return Error("failed to parse default acl file", "`" + source.paths.policy + "'", policy.error().line());
  }
  decision.policy = std::move(policy).value();
  Accounts accounts;
  if (needs_accounts(decision.policy, request.action)) accounts = TRY(load_accounts("/etc/passwd", "/etc/group"));
  decision.caller = describe_caller(identity.uid, identity.gid, identity.groups, accounts);
  const RequestForm form = form_of(request, acquired.rtnl, &decision.device);
  decision.verdict = decide(decision.policy, accounts, decision.caller, request.spec, form);
  // What can't be, whatever the rules say, isn't allowed either.
  if (decision.verdict.is_allowed) TRY(check_supported(decision.verdict.effective));
  return decision;
}

// The audit line's fields; what comes from strangers is in quotes, as JSON has them. Escaped, a request can be six times as
// long as it was, and must not push what became of it off the line (kMaxFacts in audit.cc).
std::string refused_facts(std::string_view request, const Error& why) {
  return json_field("request", request, kMaxAuditedRequest) + " result=refused " +
         json_field("reason", why.line(), kMaxAuditedReason);
}

std::string granted_facts(std::string_view request, const Grant& grant) {
  return json_field("request", request, kMaxAuditedRequest) + " result=granted " +
         json_field("interface", grant.ifname) + " ifindex=" + std::to_string(grant.ifindex) + " " +
         json_field("rule", grant.rule, kMaxAuditedReason);
}

std::string changed_facts(std::string_view request, const char* result, const Link& link) {
  return json_field("request", request, kMaxAuditedRequest) + " result=" + result + " " +
         json_field("interface", link.name) + " ifindex=" + std::to_string(link.index);
}

// The refusal stands whether or not it could be written down.
Error refused(Acquired& acquired, std::string_view request, const Error& why) {
  if (acquired.auditor.is_ok()) (void)acquired.auditor.value().record(refused_facts(request, why)).is_ok();
  return why;
}

// What couldn't be parsed, for the audit line.
std::string command_line(int argc, char* argv[]) {
  std::string text;
  for (int i = 1; i < argc && text.size() < kMaxSpecLength; ++i) text += (i > 1 ? " " : "") + std::string(argv[i]);
  return text.substr(0, kMaxSpecLength);
}

// Stage 4. Should: make the interface, one privileged operation at a time. Must not: leave anything if a step fails.
Result<HandOver> act(Acquired& acquired, const Decision& decision) {
  // A macvtap takes no tun descriptor.
  if (!acquired.tun.is_ok() && decision.verdict.effective.kind != Kind::kMacvtap) return acquired.tun.error();
  std::vector<Fd> tun = acquired.tun.is_ok() ? std::move(acquired.tun).value() : std::vector<Fd>();
  if (!acquired.rtnl.is_ok()) return acquired.rtnl.error();
  if (!acquired.scan.is_ok()) return acquired.scan.error();
  std::vector<Fd> vhost = TRY(vhost_for(&acquired, decision.verdict.effective));
  TRY(sweep_some(acquired.rtnl.value(), std::move(acquired.scan).value()));
  Result<HandOver> made = make_interface(acquired.rtnl.value(), std::move(tun), acquired.maker, acquired.caller,
                                         decision.verdict, decision.device);
  if (!made.is_ok()) return made;
  made.value().grant.vhost = static_cast<unsigned>(vhost.size());
  made.value().vhost = std::move(vhost);
  return made;
}

Error send_error(const Error& error) {
  return Error("failed to write fd to unix socket", "", error.object() + ": " + error.reason());
}

// Stage 5. Should: write the audit line, then send the one message. Must not: send anything if the line can't be written.
Status send(Acquired& acquired, const Request& request, const HandOver& made) {
  if (!acquired.auditor.is_ok()) return acquired.auditor.error();
  TRY(acquired.auditor.value().record(granted_facts(request.spec_text, made.grant)));
  std::vector<int> fds;
  for (const Fd& queue : made.queues) {
    TRY(set_nonblocking(queue.get(), !request.is_br_form));
    fds.push_back(queue.get());
  }
  for (const Fd& vhost : made.vhost) fds.push_back(vhost.get());
  const std::string message = request.is_br_form ? std::string(1, '\0') : to_json_line(made.grant);
  const Status sent = send_with_fds(request.fd, message, fds, kSendTimeoutMs);
  if (sent.is_ok()) return {};
  return send_error(sent.error());
}

// Before the policy: in a user namespace its files may not even seem to be root's, and that isn't the cause.
Status check_privilege(const Acquired& acquired) {
  if (acquired.has_net_admin) return {};
  return Error("failed to create tun device", "", "no CAP_NET_ADMIN: " + acquired.why_not)
      .with_hint("install the helper setuid root; where that can't work, tapferryd can: see tapferryd(8)");
}

// Only when it was sent: a process that is killed before has left nothing. Our descriptors still keep it, should the receiver's be
// gone.
Status let_persist(Acquired& acquired, const HandOver& made) {
  if (made.grant.kind != Kind::kMacvtap) return set_tap_persistent(made.queues[0].get(), true);
  const Status persists = acquired.maker.value().persist();
  if (persists.is_ok()) return {};
  return Error("make persistent", made.grant.ifname, persists.error().line());
}

Status hand_over(Acquired& acquired, const Request& request) {
  TRY(check_privilege(acquired));
  const Status usable = check_passing_socket(request.fd);
  if (!usable.is_ok()) return refused(acquired, request.spec_text, send_error(usable.error()));
  const Result<Decision> decision = decide_request(request, acquired);
  if (!decision.is_ok()) return refused(acquired, request.spec_text, decision.error());
  if (!decision.value().verdict.is_allowed)
    return refused(acquired, request.spec_text, access_denied(request.spec, acquired.caller));
  Result<HandOver> made = act(acquired, decision.value());
  if (!made.is_ok()) return refused(acquired, request.spec_text, made.error());
  Status sent = send(acquired, request, made.value());
  if (sent.is_ok() && decision.value().verdict.effective.persist) sent = let_persist(acquired, made.value());
  if (sent.is_ok()) {
    acquired.auditor.value().detach();
    if (acquired.maker.is_ok()) acquired.maker.value().detach();
    return {};
  }
  const Error failure = refused(acquired, request.spec_text, sent.error());
  const Status undone = take_back(acquired.rtnl.value(), acquired.maker, std::move(made).value());
  if (!undone.is_ok()) log_error(kProgram, undone.error());
  return failure;
}

Status release(Acquired& acquired, const Link& link) {
  if (link.kind == "macvtap") {
    if (!acquired.maker.is_ok()) return acquired.maker.error();
    return acquired.maker.value().release(link.index);
  }
  TRY(perform(acquired.rtnl.value(), DeleteReleased{link, acquired.caller.uid}));
  return {};
}

Status bring_up(Acquired& acquired, const Link& link) {
  Rtnl& rtnl = acquired.rtnl.value();
  const Result<std::string> up = perform(rtnl, BringUpGranted{link, acquired.caller.uid});
  if (up.is_ok()) return {};
  // It may have worked, and only its answer be lost.
  if (!link.is_up()) (void)perform(rtnl, BringDown{link}).is_ok();
  return up.error();
}

// Should: delete an interface that was granted to this caller with persist=on, or bring up one that was granted to him. Must not:
// say what other interfaces there are.
Status change_granted(Acquired& acquired, const Request& request) {
  TRY(check_privilege(acquired));
  if (!acquired.rtnl.is_ok()) return acquired.rtnl.error();
  if (!acquired.auditor.is_ok()) return acquired.auditor.error();
  Rtnl& rtnl = acquired.rtnl.value();
  const bool is_release = request.action == Action::kRelease;
  const Result<Link> found = is_release ? find_releasable(rtnl, request.ifname, acquired.caller)
                                        : find_to_bring_up(rtnl, request.ifname, acquired.caller);
  if (!found.is_ok()) return refused(acquired, request.spec_text, found.error());
  const Link& link = found.value();
  const char* result = is_release ? "released" : "brought-up";
  TRY(acquired.auditor.value().record(changed_facts(request.spec_text, result, link)));
  const Status changed = is_release ? release(acquired, link) : bring_up(acquired, link);
  if (!changed.is_ok()) return refused(acquired, request.spec_text, changed.error());
  acquired.auditor.value().detach();
  return {};
}

Status explain(Acquired& acquired, const Request& request) {
  TRY(give_up_net_admin());
  const Result<Decision> decision = decide_request(request, acquired);
  Caller nameless;
  nameless.uid = acquired.caller.uid;
  const std::string json = decision.is_ok() ? explain_json(decision.value().policy, decision.value().caller,
                                                           request.spec, decision.value().verdict)
                                            : explain_json(decision.error(), nameless, request.spec_text);
  return write_all(STDOUT_FILENO, json + "\n", "standard output");
}

Status list_rules(const Acquired& acquired, const Request& request) {
  TRY(give_up_net_admin());
  const Identity& identity = acquired.caller;
  const PolicySource source = TRY(choose_policy(request, identity));
  const Accounts accounts = TRY(load_accounts("/etc/passwd", "/etc/group"));
  const Caller caller = describe_caller(identity.uid, identity.gid, identity.groups, accounts);
  const Result<Policy> policy = load_policy(source.paths, source.trusted_uid);
  return write_all(STDOUT_FILENO, rules_json(policy, source.paths.policy, accounts, caller) + "\n", "standard output");
}

Status run(int argc, char* argv[]) {
  TRY(make_sane());  // stage 0
  if (argc < 1)
    return Error("start", "", "no argument at all, not even a name").with_hint(usage().substr(0, usage().find('\n')));
  Acquired acquired = TRY(acquire(argc, argv));  // stage 1
  TRY(drop(acquired));                           // stage 2
  const Result<Request> parsed = parse_request(argc, argv);
  if (!parsed.is_ok()) return refused(acquired, command_line(argc, argv), parsed.error());
  const Request& request = parsed.value();
  switch (request.action) {
    case Action::kHelp: return write_all(STDOUT_FILENO, usage(), "standard output");
    case Action::kVersion: return write_all(STDOUT_FILENO, "tapferry-helper " TAPFERRY_VERSION "\n", "standard output");
    case Action::kExplain: return explain(acquired, request);  // stage 3 alone
    case Action::kRules: return list_rules(acquired, request);
    case Action::kHandOver: return hand_over(acquired, request);  // stages 3 to 5
    case Action::kRelease:
    case Action::kBringUp: return change_granted(acquired, request);  // stage 4, without a policy
  }
  return {};
}

// libvirt reads stderr in a thread of its own, and shows what that has read at the very moment when the socket closes: which
// was nothing in one of 25 refusals on busy processors. So the line is read first, then the socket closes, with this process.
void wait_until_line_is_read() {
  struct stat status;
  if (fstat(STDERR_FILENO, &status) != 0 || !S_ISFIFO(status.st_mode)) return;
  for (int waited_ms = 0; waited_ms < kReadTimeoutMs; ++waited_ms) {
    int unread = 0;
    const bool is_read = ioctl(STDERR_FILENO, FIONREAD, &unread) == 0 && unread == 0;
    // Also afterwards: the reader has it, but has yet to put it where it is looked for.
    poll(nullptr, 0, 1);
    if (is_read) return;
  }
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
  if (!status.is_ok()) {
    tapferry::log_error(tapferry::kProgram, status.error());
    tapferry::wait_until_line_is_read();
  }
  // Stage 6: gone. Whatever wasn't sent is closed by now.
  _exit(status.is_ok() ? 0 : 1);
}
