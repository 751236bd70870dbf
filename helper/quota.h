// SPDX-License-Identifier: MIT
//
// Quotas without a database: an interface that counts holds an altname tapferry.u<UID>.<RULE>.<SLOT>. Names are unique in a
// network namespace, so the kernel arbitrates between any number of hand-overs at once, and a slot is free again the
// moment its interface is gone, however it went.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

struct Quota {
  uint32_t uid = 0;
  std::string rule_hash;  // of the normalised rule
  unsigned max = 1;       // slots are numbered 0 to max-1
};

// "tapferry.u1000.0123456789abcdef."; a slot's number follows.
std::string slot_prefix(const Quota& quota);

// Takes one slot for `tap`. The error says that all are taken; abandoned taps have been swept by then.
Status claim_slot(Rtnl& rtnl, const Link& tap, const Quota& quota);

}  // namespace tapferry
