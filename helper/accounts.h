// SPDX-License-Identifier: MIT
//
// Who the caller is: the two account files, read by ourselves. NSS would load libraries and open sockets in a privileged
// program, so users that only NSS knows have no name here, only numbers.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace tapferry {

// More than a hundred thousand accounts; a larger file is an error, not a shorter database.
inline constexpr size_t kMaxAccountsFile = 32u << 20;  // bytes

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct Group {
  std::string name;
  gid_t gid = 0;
  std::vector<std::string> members;
};

struct Accounts {
  std::vector<User> users;  // several may share a name or a uid
  std::vector<Group> groups;

  bool has_user(std::string_view name) const;
  bool has_group(std::string_view name) const;
  bool has_group(gid_t gid) const;
};

struct Caller {
  uid_t uid = 0;
  std::vector<gid_t> kernel_groups;    // gid and supplementary ones, ascending
  std::vector<std::string> names;      // every passwd name of this uid; empty: not in the database
  std::vector<gid_t> database_groups;  // what the database says that he is in, ascending
  bool has_unknown_group = false;      // a kernel group without an entry in the database

  bool is_in_database() const { return !names.empty(); }
  bool is_named(std::string_view name) const;
  bool is_in_kernel_group(gid_t gid) const;
  bool is_in_database_group(gid_t gid) const;
};

// passwd(5) and group(5). A line that libc couldn't use either (no name, no number, `+` or `-` of NIS) is left out.
Accounts parse_accounts(std::string_view passwd, std::string_view group);

Caller describe_caller(uid_t uid, gid_t gid, const std::vector<gid_t>& supplementary_groups, const Accounts& accounts);

// "alice (2001)", or "uid 2001" for one without a name.
std::string to_string(const Caller& caller);

// Reads both files whole, or fails.
Result<Accounts> load_accounts(const std::string& passwd_path, const std::string& group_path);

}  // namespace tapferry
