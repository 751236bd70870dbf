// SPDX-License-Identifier: MIT
#include "helper/privilege.h"

#include <cap-ng.h>
#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/sane.h"

namespace tapferry {
namespace {

// The kernel's own word, by capget(2): libcap-ng's reader opens /proc twice for sets that aren't asked for here, and takes as
// long as all of the rest of a drop.
struct CapabilitySets {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
};

Result<CapabilitySets> capabilities_of_this_process() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return Error::from_errno("read", "capabilities", errno);
  const auto join = [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; };
  return CapabilitySets{join(data[0].effective, data[1].effective), join(data[0].permitted, data[1].permitted),
                        join(data[0].inheritable, data[1].inheritable)};
}

constexpr uint64_t bit(int capability) { return uint64_t{1} << capability; }

constexpr const char* kDropAction = "failed to drop privileges";

Error drop_error(std::string_view what, int code) { return Error::from_errno(kDropAction, what, code); }

// Needs CAP_SETPCAP. Where that is missing (file capabilities without it, a container) the set stays, and does no harm:
// it counts at execve only, which seccomp forbids.
Status empty_bounding_set() {
  const CapabilitySets sets = TRY(capabilities_of_this_process());
  const bool may_drop = (sets.effective & bit(CAP_SETPCAP)) != 0;
  for (unsigned long capability = 0;; ++capability) {
    const int is_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (is_set < 0) {
      if (errno == EINVAL && capability > 0) return {};
      return drop_error("(bounding set)", errno);
    }
    if (is_set == 1 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EPERM && !may_drop) return {};
      return drop_error("(bounding set)", errno);
    }
  }
}

Status set_capabilities(uint64_t permitted, uint64_t inheritable) {
  capng_clear(CAPNG_SELECT_BOTH);
  for (int capability = 0; capability < 64; ++capability) {
    if (permitted & bit(capability)) capng_update(CAPNG_ADD, CAPNG_PERMITTED, static_cast<unsigned>(capability));
    if (inheritable & bit(capability)) capng_update(CAPNG_ADD, CAPNG_INHERITABLE, static_cast<unsigned>(capability));
  }
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
Status verify(uid_t uid, gid_t gid, uint64_t permitted, uint64_t inheritable) {
  uid_t real_uid, effective_uid, saved_uid;
  gid_t real_gid, effective_gid, saved_gid;
  if (getresuid(&real_uid, &effective_uid, &saved_uid) != 0 || getresgid(&real_gid, &effective_gid, &saved_gid) != 0) {
    return drop_error("(ids)", errno);
  }
  if (real_uid != uid || effective_uid != uid || saved_uid != uid || real_gid != gid || effective_gid != gid ||
      saved_gid != gid) {
    return drop_error("(ids)", EPERM);
  }
  const CapabilitySets left = TRY(capabilities_of_this_process());
  if (left.effective != 0 || left.inheritable != inheritable || left.permitted != permitted) {
    return drop_error("(capabilities)", EPERM);
  }
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return drop_error("(no_new_privs)", EPERM);
  }
  return {};
}

Status drop(uid_t uid, gid_t gid, uint64_t permitted, uint64_t inheritable = 0) {
  TRY(set_ids(uid, gid));
  TRY(set_capabilities(permitted, inheritable));
  TRY(forbid_gains());
  return verify(uid, gid, permitted, inheritable);
}

// To be done before the bounding set is emptied: what isn't in that can only stay inheritable, not become it (capabilities(7)).
Status make_inheritable(uint64_t added) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return Error::from_errno("read", "capabilities", errno);
  data[0].inheritable |= static_cast<uint32_t>(added);
  data[1].inheritable |= static_cast<uint32_t>(added >> 32);
  if (syscall(SYS_capset, &header, data) != 0) return drop_error("(inheritable set)", errno);
  return {};
}

uint64_t mask_of(std::initializer_list<int> capabilities) {
  uint64_t mask = 0;
  for (const int capability : capabilities) mask |= bit(capability);
  return mask;
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

// Root of a user namespace has every capability, but over the network namespaces only that were made in it. The ioctl fails
// with EPERM for all others (ioctl_ns(2)).
bool rules_network_namespace() {
  const Result<Fd> network = open_file("/proc/self/ns/net", O_RDONLY);
  if (!network.is_ok()) return true;
  const Fd owner(ioctl(network.value().get(), NS_GET_USERNS));
  return owner.is_open() || errno != EPERM;
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
  const Result<CapabilitySets> sets = capabilities_of_this_process();
  return sets.is_ok() && (sets.value().permitted & bit(CAP_NET_ADMIN)) &&
         (is_more_privileged_than_caller() || rules_network_namespace());
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
  TRY(empty_bounding_set());
  return drop(caller.uid, caller.gid, keep_net_admin ? bit(CAP_NET_ADMIN) : 0);
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
  return drop(uid, gid, 0);
}

Status drop_to_service(const ServiceAccount& account, std::initializer_list<int> capabilities,
                       std::initializer_list<int> inheritable) {
  if (account.uid == 0 || account.gid == 0) return drop_error("(service account)", EINVAL);
  if (inheritable.size() > 0) TRY(make_inheritable(mask_of(inheritable)));
  TRY(empty_bounding_set());
  if (setgroups(0, nullptr) != 0) return drop_error("(groups)", errno);
  return drop(account.uid, account.gid, mask_of(capabilities), mask_of(inheritable));
}

Status keep_capabilities(std::initializer_list<int> capabilities, std::initializer_list<int> inheritable) {
  TRY(set_capabilities(mask_of(capabilities), mask_of(inheritable)));
  const CapabilitySets left = TRY(capabilities_of_this_process());
  if (left.permitted != mask_of(capabilities) || left.effective != 0) return drop_error("(capabilities)", EPERM);
  return {};
}

Status raise_capability(int capability) {
  capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, static_cast<unsigned>(capability));
  if (capng_apply(CAPNG_SELECT_CAPS) == 0) return {};
  const int code = errno;
  capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, static_cast<unsigned>(capability));
  return Error::from_errno("raise", "a capability", code);
}

Status lower_capability(int capability) {
  capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, static_cast<unsigned>(capability));
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return Error::from_errno("lower", "a capability", errno);
  return {};
}

}  // namespace tapferry
