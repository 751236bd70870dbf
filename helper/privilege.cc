// SPDX-License-Identifier: MIT
#include "helper/privilege.h"

#include <cap-ng.h>
#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kDropAction = "failed to drop privileges";

Error drop_error(std::string_view what, int code) { return Error::from_errno(kDropAction, what, code); }

// Needs CAP_SETPCAP. Where that is missing (file capabilities without it, a container) the set stays, and does no harm:
// it counts at execve only, which seccomp forbids.
Status empty_bounding_set() {
  for (unsigned long capability = 0;; ++capability) {
    const int is_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (is_set < 0) {
      if (errno == EINVAL && capability > 0) return {};
      return drop_error("(bounding set)", errno);
    }
    if (is_set == 1 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EPERM && !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) return {};
      return drop_error("(bounding set)", errno);
    }
  }
}

Status set_capabilities(bool keep_net_admin) {
  capng_clear(CAPNG_SELECT_BOTH);
  if (keep_net_admin) capng_update(CAPNG_ADD, CAPNG_PERMITTED, CAP_NET_ADMIN);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return drop_error("(capabilities)", errno);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return drop_error("(ambient set)", errno);
  return {};
}

Status set_ids(uid_t uid, gid_t gid) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return drop_error("(keepcaps)", errno);
  if (setresgid(gid, gid, gid) != 0) return drop_error("(group)", errno);
  if (setresuid(uid, uid, uid) != 0) return drop_error("(user)", errno);
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return drop_error("(keepcaps)", errno);
  return {};
}

// A change of uid makes a process dumpable again as /proc/sys/fs/suid_dumpable says, so this comes last.
Status forbid_gains() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return drop_error("(no_new_privs)", errno);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return drop_error("(dumpable)", errno);
  return {};
}

// Asks the kernel, not our own bookkeeping.
Status verify(uid_t uid, gid_t gid, bool keep_net_admin) {
  uid_t real_uid, effective_uid, saved_uid;
  gid_t real_gid, effective_gid, saved_gid;
  if (getresuid(&real_uid, &effective_uid, &saved_uid) != 0 || getresgid(&real_gid, &effective_gid, &saved_gid) != 0) {
    return drop_error("(ids)", errno);
  }
  if (real_uid != uid || effective_uid != uid || saved_uid != uid || real_gid != gid || effective_gid != gid ||
      saved_gid != gid) {
    return drop_error("(ids)", EPERM);
  }
  capng_setpid(0);
  if (capng_get_caps_process() != 0) return drop_error("(capabilities)", errno);
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    const auto number = static_cast<unsigned>(capability);
    const bool is_expected = keep_net_admin && number == CAP_NET_ADMIN;
    if (capng_have_capability(CAPNG_EFFECTIVE, number) || capng_have_capability(CAPNG_INHERITABLE, number) ||
        capng_have_capability(CAPNG_PERMITTED, number) != (is_expected ? 1 : 0)) {
      return drop_error("(capabilities)", EPERM);
    }
  }
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return drop_error("(no_new_privs)", EPERM);
  }
  return {};
}

Status drop(uid_t uid, gid_t gid, bool keep_net_admin) {
  if (capng_get_caps_process() != 0) return drop_error("(capabilities)", errno);
  TRY(empty_bounding_set());
  TRY(set_ids(uid, gid));
  TRY(set_capabilities(keep_net_admin));
  TRY(forbid_gains());
  return verify(uid, gid, keep_net_admin);
}

// Whether the user namespace maps every id as the first one does (user_namespaces(7)).
bool is_in_user_namespace() {
  const Result<Fd> map = open_file("/proc/self/uid_map", O_RDONLY);
  if (!map.is_ok()) return false;
  const Result<std::string> text = read_all(map.value().get(), 4096, "/proc/self/uid_map");
  if (!text.is_ok()) return false;
  std::string_view line = text.value();
  line = line.substr(0, line.find('\n'));
  const auto words = split_words(line);
  return words.size() != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295";
}

}  // namespace

Result<Identity> identify_caller() {
  Identity who;
  who.uid = getuid();
  who.gid = getgid();
  who.pid = getpid();
  who.parent = getppid();
  const int count = getgroups(0, nullptr);
  if (count < 0) return Error::from_errno("read", "the caller's groups", errno);
  who.groups.resize(static_cast<size_t>(count));
  if (count > 0 && getgroups(count, who.groups.data()) != count) {
    return Error::from_errno("read", "the caller's groups", errno);
  }
  return who;
}

bool has_net_admin() {
  return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
}

std::string why_without_net_admin() {
  if (is_in_user_namespace()) {
    return "it runs in a user namespace, where the setuid bit gives nothing over this network";
  }
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
    return "its caller set no_new_privs (a sandbox, or NoNewPrivileges= of a systemd unit)";
  }
  struct statvfs file_system;
  if (statvfs("/proc/self/exe", &file_system) == 0 && (file_system.f_flag & ST_NOSUID)) {
    return "it lies on a file system that is mounted nosuid";
  }
  struct stat program;
  if (stat("/proc/self/exe", &program) == 0 && ((program.st_mode & S_ISUID) == 0 || program.st_uid != 0)) {
    return "it is neither setuid root nor has file capabilities";
  }
  return "CAP_NET_ADMIN is not in its bounding set (a container?)";
}

Status drop_privileges(const Identity& caller, bool keep_net_admin) {
  return drop(caller.uid, caller.gid, keep_net_admin);
}

Status give_up_net_admin() {
  capng_clear(CAPNG_SELECT_BOTH);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return drop_error("(capabilities)", errno);
  return {};
}

Status drop_to_bare_root() {
  const uid_t uid = geteuid();
  const gid_t gid = uid == 0 ? 0 : getgid();
  if (uid == 0 && setgroups(0, nullptr) != 0 && errno != EPERM) return drop_error("(groups)", errno);
  return drop(uid, gid, false);
}

Status raise_net_admin() {
  capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_NET_ADMIN);
  if (capng_apply(CAPNG_SELECT_CAPS) == 0) return {};
  const int code = errno;
  capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_NET_ADMIN);
  return Error::from_errno("raise", "CAP_NET_ADMIN", code);
}

Status lower_net_admin() {
  capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_NET_ADMIN);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return Error::from_errno("lower", "CAP_NET_ADMIN", errno);
  return {};
}

}  // namespace tapferry
