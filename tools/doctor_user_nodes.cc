// SPDX-License-Identifier: MIT
#include "tools/doctor_user_nodes.h"

#include <cerrno>
#include <climits>
#include <optional>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/parse.h"

namespace tapferry {
namespace {

constexpr const char* kDevices = "/dev";
constexpr const char* kByNumber = "/sys/dev/char";
constexpr const char* kAccount = "tapferry";

// The status of a node of ours whose interface is gone.
std::optional<struct stat> left_behind(uid_t ours, const std::string& name) {
  struct stat status = {};
  const std::string path = std::string(kDevices) + "/" + name;
  if (lstat(path.c_str(), &status) != 0 || !S_ISCHR(status.st_mode) || status.st_uid != ours) return std::nullopt;
  if (is_device_named(kByNumber, status.st_rdev, name)) return std::nullopt;
  return status;
}

Result<std::string> remove_left(uid_t ours, const std::string& name) {
  if (!left_behind(ours, name)) return std::string("gone by itself");
  const std::string path = std::string(kDevices) + "/" + name;
  if (unlink(path.c_str()) == 0) return std::string("removed");
  if (errno == ENOENT) return std::string("gone by itself");
  return Error::from_errno("remove", path, errno);
}

Finding to_finding(uid_t ours, const std::string& name, mode_t mode) {
  Finding finding;
  finding.kind = finding::kLeftNode;
  finding.object = "device node " + std::string(kDevices) + "/" + name;
  finding.problem = "its interface is gone";
  if ((mode & 0777) != 0) finding.problem += ", and who may open it has the next macvtap that gets its number";
  finding.command = kRepairCommand;
  finding.repair = [ours, name] { return remove_left(ours, name); };
  return finding;
}

}  // namespace

bool is_tap_node_name(std::string_view name) { return consume_prefix(&name, "tap") && parse_uint(name, 1, INT32_MAX); }

bool is_device_named(const std::string& directory, dev_t number, std::string_view name) {
  const std::string link = directory + "/" + std::to_string(major(number)) + ":" + std::to_string(minor(number));
  char target[PATH_MAX];
  const ssize_t length = readlink(link.c_str(), target, sizeof target);
  if (length < 0) return false;
  const std::string_view path(target, static_cast<size_t>(length));
  return path.substr(path.rfind('/') + 1) == name;
}

Status check_user_nodes(Diagnosis* diagnosis) {
  const passwd* account = getpwnam(kAccount);
  if (account == nullptr) return {};
  const uid_t ours = account->pw_uid;
  const Directory directory(opendir(kDevices));
  if (!directory) return Error::from_errno("open", kDevices, errno);
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (!is_tap_node_name(name)) continue;
    const auto left = left_behind(ours, name);
    if (!left) continue;
    // Without a sysfs every one looks so.
    if (access(kByNumber, F_OK) != 0)
      return Error::from_errno("find out whose device node " + name + " is by", kByNumber, errno);
    diagnosis->findings.push_back(to_finding(ours, name, left->st_mode));
  }
  return {};
}

}  // namespace tapferry
