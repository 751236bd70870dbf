// SPDX-License-Identifier: MIT
//
// An interface that was granted as the NIC that a guest gets.
#pragma once

#include "base/result.h"
#include "net/ask.h"
#include "net/spec.h"
#include "tools/compose.h"

namespace tapferry {

// All but its descriptors, which stay where they are.
Result<Nic> describe_nic(const GrantedInterface& interface, const Spec& spec);

}  // namespace tapferry
