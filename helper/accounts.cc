// SPDX-License-Identifier: MIT
#include "helper/accounts.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

// (uid_t)-1 is no id (setreuid(2)).
constexpr uint64_t kLargestId = UINT32_MAX - 1;

// The fields of an account line, or none if it isn't one.
std::vector<std::string_view> fields_of(std::string_view line, size_t least) {
  if (line.empty() || line[0] == '+' || line[0] == '-' || line[0] == '#') return {};
  std::vector<std::string_view> fields = split(line, ':');
  if (fields.size() < least || fields[0].empty()) return {};
  return fields;
}

std::optional<User> parse_user(std::string_view line) {
  const auto fields = fields_of(line, 4);
  if (fields.empty()) return std::nullopt;
  const auto uid = parse_uint(fields[2], 0, kLargestId);
  const auto gid = parse_uint(fields[3], 0, kLargestId);
  if (!uid || !gid) return std::nullopt;
  return User{std::string(fields[0]), static_cast<uid_t>(*uid), static_cast<gid_t>(*gid)};
}

std::optional<Group> parse_group(std::string_view line) {
  const auto fields = fields_of(line, 3);
  if (fields.empty()) return std::nullopt;
  const auto gid = parse_uint(fields[2], 0, kLargestId);
  if (!gid) return std::nullopt;
  Group group{std::string(fields[0]), static_cast<gid_t>(*gid), {}};
  if (fields.size() > 3) {
    for (const std::string_view member : split(fields[3], ',')) {
      if (!member.empty()) group.members.emplace_back(member);
    }
  }
  return group;
}

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

Result<std::string> read_accounts_file(const std::string& path) {
  // O_NONBLOCK: should it be a FIFO, the open must not wait.
  const Fd fd = TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return Error::from_errno("look at", path, errno);
  if (!S_ISREG(status.st_mode)) return Error("read", path, "not a regular file");
  return read_all(fd.get(), kMaxAccountsFile, path);
}

}  // namespace

bool Accounts::has_user(std::string_view name) const {
  return std::any_of(users.begin(), users.end(), [&](const User& user) { return user.name == name; });
}

bool Accounts::has_group(std::string_view name) const {
  return std::any_of(groups.begin(), groups.end(), [&](const Group& group) { return group.name == name; });
}

bool Accounts::has_group(gid_t gid) const {
  return std::any_of(groups.begin(), groups.end(), [&](const Group& group) { return group.gid == gid; });
}

bool Caller::is_named(std::string_view name) const {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Caller::is_in_kernel_group(gid_t gid) const {
  return std::binary_search(kernel_groups.begin(), kernel_groups.end(), gid);
}

bool Caller::is_in_database_group(gid_t gid) const {
  return std::binary_search(database_groups.begin(), database_groups.end(), gid);
}

Accounts parse_accounts(std::string_view passwd, std::string_view group) {
  Accounts accounts;
  for (const std::string_view line : split(passwd, '\n')) {
    if (auto user = parse_user(line)) accounts.users.push_back(std::move(*user));
  }
  for (const std::string_view line : split(group, '\n')) {
    if (auto entry = parse_group(line)) accounts.groups.push_back(std::move(*entry));
  }
  return accounts;
}

Caller describe_caller(uid_t uid, gid_t gid, const std::vector<gid_t>& supplementary_groups, const Accounts& accounts) {
  Caller caller;
  caller.uid = uid;
  caller.kernel_groups = supplementary_groups;
  caller.kernel_groups.push_back(gid);
  sort_unique(caller.kernel_groups);

  for (const User& user : accounts.users) {
    if (user.uid != uid) continue;
    caller.names.push_back(user.name);
    caller.database_groups.push_back(user.gid);
  }
  std::vector<gid_t> known;
  for (const Group& group : accounts.groups) {
    known.push_back(group.gid);
    const bool is_member = std::any_of(group.members.begin(), group.members.end(),
                                       [&](const std::string& member) { return caller.is_named(member); });
    if (is_member) caller.database_groups.push_back(group.gid);
  }
  sort_unique(caller.database_groups);
  sort_unique(known);
  // A process may have 65536 groups (NGROUPS_MAX) and the database as many: both are sorted, so this is one pass.
  caller.has_unknown_group =
      !std::includes(known.begin(), known.end(), caller.kernel_groups.begin(), caller.kernel_groups.end());
  return caller;
}

std::string to_string(const Caller& caller) {
  if (!caller.is_in_database()) return "uid " + std::to_string(caller.uid);
  return caller.names[0] + " (" + std::to_string(caller.uid) + ")";
}

Result<Accounts> load_accounts(const std::string& passwd_path, const std::string& group_path) {
  const std::string passwd = TRY(read_accounts_file(passwd_path));
  const std::string group = TRY(read_accounts_file(group_path));
  return parse_accounts(passwd, group);
}

}  // namespace tapferry
