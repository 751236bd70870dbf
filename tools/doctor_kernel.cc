// SPDX-License-Identifier: MIT
//
// What rules need of the kernel: macvtaps, traffic control. It is tried out, in a network namespace that is thrown away, since
// a module that can be loaded is as good as one that is, and no list tells of all.

#include <cerrno>
#include <functional>
#include <sched.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"
#include "net/link.h"
#include "net/macvtap.h"
#include "net/tc.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

constexpr int kLoopback = 1;  // its index, in every network namespace
constexpr int kCantTell = 0x80;
constexpr uint64_t kSomeRate = 1000000000;

struct Feature {
  FindingKind kind;
  const char* what;  // the kernel's name for it
  bool (*is_needed)(const ListedRule&);
  Status (*attempt)(Rtnl&, const Link& loopback);
  int missing;  // the error's code that means it
};

Status try_rules(Rtnl& rtnl, const Link& loopback, const TrafficRules& rules) {
  return apply_traffic_rules(rtnl, loopback, GuestSide::kTap, rules);
}

constexpr Feature kFeatures[] = {
    // The loopback can't be a parent, which is found out only after the kind is known: EINVAL then, EOPNOTSUPP before.
    {finding::kKernelMacvtap, "macvtap", [](const ListedRule& rule) { return rule.kind == "macvtap"; },
     [](Rtnl& rtnl, const Link&) {
       NewMacvtap macvtap;
       macvtap.name = "probe0";
       macvtap.lower = kLoopback;
       return create_macvtap(rtnl, macvtap);
     },
     EOPNOTSUPP},
    {finding::kKernelRateTo, "sch_tbf", [](const ListedRule& rule) { return rule.has("rate_to="); },
     [](Rtnl& rtnl, const Link& loopback) {
       TrafficRules rules;
       rules.rate_to = kSomeRate;
       return try_rules(rtnl, loopback, rules);
     },
     ENOENT},
    {finding::kKernelRateFrom, "act_police", [](const ListedRule& rule) { return rule.has("rate_from="); },
     [](Rtnl& rtnl, const Link& loopback) {
       TrafficRules rules;
       rules.rate_from = kSomeRate;
       return try_rules(rtnl, loopback, rules);
     },
     ENOENT},
    {finding::kKernelFilter, "sch_ingress or cls_bpf",
     [](const ListedRule& rule) { return rule.has("filter=") || (rule.kind == "macvtap" && rule.has("lock=on")); },
     [](Rtnl& rtnl, const Link& loopback) {
       TrafficRules rules;
       rules.ethertypes = std::vector<uint16_t>{0x0800};
       return try_rules(rtnl, loopback, rules);
     },
     ENOENT},
};

// In the child: bits of the features among `wanted` that the kernel lacks.
int try_features(unsigned wanted) {
  // Root needs no user namespace, and a host may forbid them.
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return kCantTell;
  auto rtnl = Rtnl::open();
  if (!rtnl.is_ok()) return kCantTell;
  const auto loopback = get_link(rtnl.value(), kLoopback);
  if (!loopback.is_ok()) return kCantTell;
  int missing = 0;
  unsigned bit = 1;
  for (const Feature& feature : kFeatures) {
    if (wanted & bit) {
      const Status tried = feature.attempt(rtnl.value(), loopback.value());
      if (!tried.is_ok() && tried.error().code() == feature.missing) missing |= static_cast<int>(bit);
      const TrafficRules none;
      (void)try_rules(rtnl.value(), loopback.value(), none).is_ok();
    }
    bit <<= 1;
  }
  return missing;
}

int find_missing(unsigned wanted) {
  const pid_t child = fork();
  if (child < 0) return kCantTell;
  if (child == 0) _exit(try_features(wanted));
  int status = 0;
  if (retry_on_eintr([&] { return waitpid(child, &status, 0); }) != child || !WIFEXITED(status)) return kCantTell;
  return WEXITSTATUS(status);
}

std::string kernel_release() {
  utsname name = {};
  return uname(&name) == 0 ? name.release : "?";
}

}  // namespace

Status check_kernel(const Patient& patient, Diagnosis* diagnosis) {
  if (patient.policy == nullptr) return {};
  const ListedRule* needed_by[std::size(kFeatures)] = {};
  unsigned wanted = 0;
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    for (const ListedRule& rule : patient.policy->rules) {
      if (needed_by[i] == nullptr && is_relevant(patient, rule) && kFeatures[i].is_needed(rule)) needed_by[i] = &rule;
    }
    if (needed_by[i] != nullptr) wanted |= 1u << i;
  }
  if (wanted == 0) return {};
  const int missing = find_missing(wanted);
  if (missing & kCantTell) {
    diagnosis->notes.emplace_back("whether the kernel has what the rules need can't be tried out here; root can");
    return {};
  }
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    if (!(missing >> i & 1)) continue;
    diagnosis->findings.push_back({kFeatures[i].kind, "kernel " + kernel_release(),
                                   std::string("it lacks ") + kFeatures[i].what + ", which " + needed_by[i]->label +
                                       " needs: " + needed_by[i]->text,
                                   as_root("apt-get install linux-image-amd64"),
                                   "and a reboot: Debian's own kernel has it"});
  }
  return {};
}

}  // namespace tapferry
