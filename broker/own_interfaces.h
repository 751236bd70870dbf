// SPDX-License-Identifier: MIT
//
// Which interfaces of this network namespace were made for a user, by their tags (net/tag.h). Reading them needs no privilege.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "net/json_object.h"

namespace tapferry {

// An array of Interface (broker/description.h); of all users for uid 0.
Result<Json> own_interfaces(uid_t uid);

}  // namespace tapferry
