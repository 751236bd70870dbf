// SPDX-License-Identifier: MIT
//
// Which interfaces of this network namespace were made for a user, by their tags (net/tag.h). Reading them needs no privilege.
#pragma once

#include <json-glib/json-glib.h>
#include <sys/types.h>

#include "base/result.h"

namespace tapferry {

// An array of Interface (broker/description.h), the caller's to take; of all users for uid 0.
Result<JsonArray*> own_interfaces(uid_t uid);

}  // namespace tapferry
