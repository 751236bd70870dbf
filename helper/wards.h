// SPDX-License-Identifier: MIT
//
// The interfaces that need a warden, as their tags say, whether they have one or not.
#pragma once

#include <functional>

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// May visit an interface twice (for_each_link).
Status for_each_ward(Rtnl& rtnl, const std::function<void(const Link&)>& visit);

}  // namespace tapferry
