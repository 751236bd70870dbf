// SPDX-License-Identifier: MIT
//
// Who asks, and what this process may still do: stage 2 drops everything but a permitted CAP_NET_ADMIN, and only
// helper/privileged.cc makes that effective, for one operation at a time.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace tapferry {

// The caller, as the kernel knows him: the real ids, since a setuid program's effective ones are its own.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  pid_t pid = 0;              // this process
  pid_t parent = 0;           // the program that started it
};

Result<Identity> identify_caller();

// Whether CAP_NET_ADMIN is permitted over this network namespace, and if not, the likeliest reason: half a sentence about
// the setuid bit, the mount, no_new_privs, the user namespace or the bounding set.
bool has_net_admin();
std::string why_without_net_admin();

// Gives up, for good: every uid and gid but the caller's, every capability but a permitted CAP_NET_ADMIN (where it was there, and
// if `keep_net_admin`), the bounding set, the chance to gain anything by execve; and looks that it is so.
Status drop_privileges(const Identity& caller, bool keep_net_admin);

// After drop_privileges: CAP_NET_ADMIN isn't permitted any more either.
Status give_up_net_admin();

// drop_privileges for a process that keeps uid 0 where it has it, without any capability, out of the caller's reach. The
// bounding set stays: with no_new_privs, and without execve, it means nothing.
Status drop_to_bare_root();

// drop_privileges for a process that works on after the caller is gone: it becomes `account` in all ids, without groups, and keeps
// these capabilities (CAP_*) permitted, none effective. The caller can't signal it then, nor limit it. `inheritable`, of these, is
// what a program that it starts may be given (PR_CAP_AMBIENT_RAISE), with no_new_privs and whatever its file says.
struct ServiceAccount {
  uid_t uid = 0;
  gid_t gid = 0;
};
Status drop_to_service(const ServiceAccount& account, std::initializer_list<int> capabilities,
                       std::initializer_list<int> inheritable = {});

// After drop_to_service: these of them. To be called after a fork, too: libcap-ng forgets in the child what it knew.
Status keep_capabilities(std::initializer_list<int> capabilities, std::initializer_list<int> inheritable = {});

// One permitted capability (CAP_*) effective or not. An error of raising leaves it lowered.
Status raise_capability(int capability);
Status lower_capability(int capability);

}  // namespace tapferry
