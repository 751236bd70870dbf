// SPDX-License-Identifier: MIT
//
// Becoming another user, for good: what root does to see a policy as that user sees it.
#pragma once

#include <string>

#include "base/result.h"

namespace tapferry {

// Takes on the uid, gid and groups of `user`, a name or a number that the user database has. Only root may, except for
// oneself, when nothing changes. Verified afterwards.
Status become_user(const std::string& user);

}  // namespace tapferry
