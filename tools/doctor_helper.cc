// SPDX-License-Identifier: MIT
//
// The helper's file: is it there, is it root's, and does it become root?

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <endian.h>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/parse.h"
#include "net/ask_broker.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"
#include "tools/doctor_privilege.h"

namespace tapferry {
namespace {

constexpr const char* kCapabilityList = "cap_net_admin,cap_setpcap,cap_dac_override+ep";

struct File {
  std::string path;  // without symbolic links
  struct stat status = {};
  HelperPower power;

  std::string object() const { return "helper " + path; }
};

std::string setuid_command(const std::string& path) { return as_root("chmod 4755 " + shell_word(path)); }

// The mount point that the path is reached by, of the mount that it is on (proc(5), mountinfo).
std::string mount_point_of(const std::string& path) {
  struct statx status = {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &status) != 0 || !(status.stx_mask & STATX_MNT_ID)) return "";
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const auto words = split_words(line);
    if (words.size() > 4 && words[0] == std::to_string(status.stx_mnt_id)) return std::string(words[4]);
  }
  return "";
}

void look_at_mount(const File& file, Diagnosis* diagnosis) {
  struct statvfs mount = {};
  if (statvfs(file.path.c_str(), &mount) != 0 || !(mount.f_flag & ST_NOSUID)) return;
  const std::string point = mount_point_of(file.path);
  diagnosis->findings.push_back(
      {finding::kHelperNosuid, file.object(),
       "it lies on a file system that is mounted nosuid, so it gets no privilege",
       point.empty() ? "" : as_root("mount -o remount,bind,suid " + shell_word(point)),
       "or install it elsewhere with `make install PREFIX='; for good, /etc/fstab must say so too"});
}

// With file capabilities and no setuid bit.
void look_at_capabilities(const Patient& patient, const File& file, Diagnosis* diagnosis) {
  if (!file.power.has(CAP_NET_ADMIN)) {
    diagnosis->findings.push_back({finding::kHelperCapabilities, file.object(),
                                   "its file capabilities lack cap_net_admin, or +e, and it isn't setuid root",
                                   as_root("setcap " + std::string(kCapabilityList) + " " + shell_word(file.path)),
                                   ""});
    return;
  }
  if (patient.policy == nullptr) return;
  const auto& rules = patient.policy->rules;
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [&](const ListedRule& r) { return is_relevant(patient, r) && r.needs_service(); });
  if (rule == rules.end()) return;
  diagnosis->findings.push_back(
      {finding::kHelperNeedsSetuid, file.object(),
       "it has file capabilities, which don't suffice for what " + rule->label + " allows: " + rule->text,
       setuid_command(file.path), ""});
}

// Where it is a group's, that was somebody's choice (--with-helper-group).
Finding forbidden(const File& file) {
  Finding finding = {finding::kHelperForbidden, file.object(), "you may not execute it", setuid_command(file.path), ""};
  const bool is_for_group = (file.status.st_mode & S_IXGRP) != 0 && file.status.st_gid != 0;
  const struct group* group = is_for_group ? getgrgid(file.status.st_gid) : nullptr;
  const struct passwd* user = getpwuid(getuid());
  if (group == nullptr || user == nullptr) return finding;
  finding.problem = "only the group " + std::string(group->gr_name) + " may execute it";
  finding.command = as_root("usermod -aG " + shell_word(group->gr_name) + " " + shell_word(user->pw_name));
  finding.remedy = "and log in anew";
  return finding;
}

void look_at_privilege(const Patient& patient, const File& file, Diagnosis* diagnosis) {
  const mode_t mode = file.status.st_mode;
  if (file.status.st_uid != 0) {
    const std::string path = shell_word(file.path);
    diagnosis->findings.push_back({finding::kHelperOwner, file.object(),
                                   "it isn't root's, so it doesn't become root, and its owner can change it",
                                   as_root("chown root:root " + path) + " && " + setuid_command(file.path), ""});
  } else if (file.power.has_capabilities && !(mode & S_ISUID)) {
    look_at_capabilities(patient, file, diagnosis);
  } else if (!(mode & S_ISUID) && access(broker_socket().c_str(), F_OK) != 0) {
    // With tapferryd's socket there it was perhaps installed for that alone, --with-privilege=broker.
    diagnosis->findings.push_back({finding::kHelperNotSetuid, file.object(),
                                   "it is neither setuid root nor has file capabilities, so it has no privilege",
                                   setuid_command(file.path), ""});
  }
  if (mode & (S_IWGRP | S_IWOTH)) {
    diagnosis->findings.push_back({finding::kHelperWritable, file.object(),
                                   "others than root can write to it, and it runs as root",
                                   as_root("chmod go-w " + shell_word(file.path)), ""});
  }
  if (access(file.path.c_str(), X_OK) != 0) diagnosis->findings.push_back(forbidden(file));
}

void look_at_answer(const Patient& patient, const File& file, Diagnosis* diagnosis) {
  if (!patient.helper_error || access(file.path.c_str(), X_OK) != 0) return;
  diagnosis->findings.push_back({finding::kHelperBroken, file.object(),
                                 "it doesn't answer as it should: " + patient.helper_error->reason(),
                                 as_root("make install"), "in tapferry's source folder"});
}

}  // namespace

HelperPower power_of(const std::string& helper) {
  HelperPower power;
  struct stat status = {};
  if (stat(helper.c_str(), &status) != 0) return power;
  power.is_setuid_root = status.st_uid == 0 && (status.st_mode & S_ISUID) != 0;
  vfs_cap_data data = {};
  char bytes[sizeof(vfs_ns_cap_data)] = {};
  const ssize_t size = getxattr(helper.c_str(), "security.capability", bytes, sizeof bytes);
  if (size < static_cast<ssize_t>(sizeof data)) return power;
  memcpy(&data, bytes, sizeof data);
  power.has_capabilities = true;
  if (!(le32toh(data.magic_etc) & VFS_CAP_FLAGS_EFFECTIVE)) return power;
  power.capabilities = le32toh(data.data[0].permitted) | static_cast<uint64_t>(le32toh(data.data[1].permitted)) << 32;
  return power;
}

Status check_helper(const Patient& patient, Diagnosis* diagnosis) {
  File file;
  char* real = realpath(patient.helper.c_str(), nullptr);
  const int code = errno;
  file.path = real != nullptr ? real : patient.helper;
  free(real);
  if (real == nullptr && code == EACCES) {
    diagnosis->findings.push_back({finding::kHelperForbidden, file.object(),
                                   "you may not enter the folder that it is in", "",
                                   "give the folders above it mode 755, or install it elsewhere"});
    return {};
  }
  if (real == nullptr || stat(file.path.c_str(), &file.status) != 0 || !S_ISREG(file.status.st_mode)) {
    diagnosis->findings.push_back({finding::kHelperMissing, file.object(), "there is no such program",
                                   as_root("make install"), "in tapferry's source folder, after `make'"});
    return {};
  }
  file.power = power_of(file.path);
  look_at_privilege(patient, file, diagnosis);
  look_at_mount(file, diagnosis);
  look_at_answer(patient, file, diagnosis);
  return {};
}

}  // namespace tapferry
