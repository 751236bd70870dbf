// SPDX-License-Identifier: MIT
#include "tools/user.h"

#include <cerrno>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/parse.h"

namespace tapferry {

Status become_user(const std::string& user) {
  errno = 0;
  const passwd* entry = getpwnam(user.c_str());
  const auto uid = parse_uint(user, 0, UINT32_MAX - 1);
  if (entry == nullptr && uid) entry = getpwuid(static_cast<uid_t>(*uid));
  if (entry == nullptr) return Error("become", "user " + user, "there is no such user");
  if (entry->pw_uid == getuid() && entry->pw_uid == geteuid()) return {};
  if (geteuid() != 0) {
    return Error::from_errno("become", "user " + user, EPERM).with_hint("only root may ask for somebody else");
  }
  if (initgroups(entry->pw_name, entry->pw_gid) != 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
      setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
    return Error::from_errno("become", "user " + user, errno);
  }
  if (entry->pw_uid != 0 && setuid(0) == 0) return Error("become", "user " + user, "the way back to root is open");
  return {};
}

}  // namespace tapferry
