// SPDX-License-Identifier: MIT
//
// The system users that tapferry's own processes become, looked up in /etc/passwd.
#pragma once

#include <string>

#include "base/result.h"
#include "helper/privilege.h"

namespace tapferry {

// An error, with what adds the user, when /etc/passwd has none of that name.
Result<ServiceAccount> service_account(const std::string& name);

}  // namespace tapferry
