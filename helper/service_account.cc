// SPDX-License-Identifier: MIT
#include "helper/service_account.h"

#include <algorithm>

#include "helper/accounts.h"

namespace tapferry {

Result<ServiceAccount> service_account(const std::string& name) {
  const Accounts accounts = TRY(load_accounts("/etc/passwd", "/etc/group"));
  const auto user =
      std::find_if(accounts.users.begin(), accounts.users.end(), [&](const User& entry) { return entry.name == name; });
  if (user != accounts.users.end()) return ServiceAccount{user->uid, user->gid};
  return Error("become", "the system user " + name, "/etc/passwd has none")
      .with_hint("add it: useradd --system --no-create-home --shell /usr/sbin/nologin " + name);
}

}  // namespace tapferry
