// SPDX-License-Identifier: MIT
//
// One rule against one request: the questions that decide() asks of every rule. Each answer is the reason why not, a
// sentence for the person who asks; nothing means yes.
#pragma once

#include <optional>
#include <string>

#include "helper/policy.h"

namespace tapferry {

// Is the rule about this object and this caller?
std::optional<std::string> why_no_match(const Rule& rule, const Accounts& accounts, const Caller& caller,
                                        const Spec& request, const RequestForm& form);

// Is it about this caller, whatever its object?
std::optional<std::string> why_other_caller(const Rule& rule, const Accounts& accounts, const Caller& caller);

// A group of the rule whose member the database says the caller is, but not the kernel: he logged in before. Empty: none.
std::string group_after_next_login(const Rule& rule, const Accounts& accounts, const Caller& caller);

// May a caller whom the allow matches ask for all of this?
std::optional<std::string> why_no_fit(const Rule& rule, const Spec& request, const RequestForm& form);

// The request with the rule's forced values; for a request that fits.
Spec apply_forced(const Rule& rule, const Spec& request);

}  // namespace tapferry
