// SPDX-License-Identifier: MIT
//
// A verdict as the JSON object that `tapferry explain` reads. It tells the caller nothing that he couldn't read in the
// policy himself, since the policy was read as he.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "helper/accounts.h"
#include "helper/policy.h"

namespace tapferry {

// One line without a newline.
std::string explain_json(const Policy& policy, const Caller& caller, const Spec& request, const Verdict& verdict);

// The same shape for a policy or request that couldn't be read: refused, no rules, the error as the reason.
std::string explain_json(const Error& error, const Caller& caller, std::string_view request);

// What `tapferry doctor` reads: every rule, and which are about the caller, whatever their object; or the error.
// `path` is where the policy should be.
std::string rules_json(const Result<Policy>& policy, std::string_view path, const Accounts& accounts,
                       const Caller& caller);

}  // namespace tapferry
