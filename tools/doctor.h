// SPDX-License-Identifier: MIT
//
// What `tapferry doctor` looks for: a list of checks, each of which gives findings. A finding says what is wrong, with what,
// and the command that mends it; what was left behind it can mend itself, with --repair. A check changes nothing that lasts.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/rtnl.h"
#include "tools/doctor_findings.h"
#include "tools/doctor_rules.h"

namespace tapferry {

inline constexpr const char* kRepairCommand = "tapferry doctor --repair";

struct Finding {
  FindingKind kind;
  std::string object;   // "macvtap mv0"
  std::string problem;  // what is wrong with it, and what follows from that, without a full stop
  std::string command;  // for a shell, as it stands; empty where none mends it
  std::string remedy;   // words: what mends it where no command does, or what is to be known of the command
  // Mends it and says what was done ("deleted"); empty where only the administrator can. It looks at the object again before
  // it touches it. EBUSY: nothing is wrong with it after all, or not yet: it is in use.
  std::function<Result<std::string>()> repair = {};
  // It may be in order, which only `repair` can find out (EBUSY says so): no finding until then.
  bool is_suspicion = false;
};

struct Diagnosis {
  std::vector<Finding> findings;
  std::vector<std::string> notes;  // what could not be found out, and how to
};

struct Patient {
  Rtnl& rtnl;  // must outlive the findings
  bool is_to_be_repaired = false;
  std::string helper = {};                 // path of the helper that is asked
  const PolicyView* policy = nullptr;      // as the helper tells it; null: it can't
  std::optional<Error> helper_error = {};  // why it can't
  bool is_administrator = false;           // root, who asks for all users and not for himself
};

// A rule that counts for whom the doctor was asked: an allow that is about him, or, for the administrator, any.
bool is_relevant(const Patient& patient, const ListedRule& rule);

// A check's error says that it could not be made; the others are made all the same. doctor.cc has the list.
Status check_helper(const Patient& patient, Diagnosis* diagnosis);  // its file: owner, mode, capabilities, mount
Status check_privilege(const Patient& patient,
                       Diagnosis* diagnosis);                       // whether setuid can work here; the warden's user
Status check_policy(const Patient& patient, Diagnosis* diagnosis);  // its files, and whether it allows anything
Status check_links(const Patient& patient, Diagnosis* diagnosis);   // bridges and parents that rules name
Status check_netfilter(const Patient& patient, Diagnosis* diagnosis);  // frames on bridges that iptables drops
Status check_tun(const Patient& patient, Diagnosis* diagnosis);        // /dev/net/tun, /dev/vhost-net
Status check_kernel(const Patient& patient, Diagnosis* diagnosis);     // what rules need of the kernel
Status check_engine(const Patient& patient, Diagnosis* diagnosis);     // io_uring, for tapferry-vhost
Status check_libvirt(const Patient& patient, Diagnosis* diagnosis);    // which helper libvirt and QEMU start
Status check_apparmor(const Patient& patient, Diagnosis* diagnosis);   // whether libvirt's profile lets it
Status check_taps(const Patient& patient, Diagnosis* diagnosis);       // persistent, and left by their holders
Status check_macvtaps(const Patient& patient, Diagnosis* diagnosis);   // outlived their warden
Status check_ovs(const Patient& patient, Diagnosis* diagnosis);        // ports of Open vSwitch whose tap is gone
Status check_nodes(const Patient& patient, Diagnosis* diagnosis);      // device nodes that opened macvtaps

}  // namespace tapferry
