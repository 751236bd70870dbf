// SPDX-License-Identifier: MIT
//
// Stage 4: from a decided request to an interface that is ready to be handed over. Nothing of it stays if a step fails or the
// process is killed: a tap goes with its last descriptor, and descriptors go with the process.
#pragma once

#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/policy.h"
#include "helper/privilege.h"
#include "net/grant.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// How a tap that existed before was found, so that a hand-over which fails after all leaves it so.
struct Undo {
  std::optional<Link> bring_down;
  std::optional<unsigned> vnet_hdr_sz;
};

struct HandOver {
  std::vector<Fd> queues;
  Grant grant;
  Undo undo;
};

// What this release can't do yet though SPEC and policy know it; an error that says so.
Status check_supported(const Spec& spec);

// `tun` are fresh /dev/net/tun descriptors, at least as many as queues. `verdict` allows the request.
Result<HandOver> make_interface(Rtnl& rtnl, std::vector<Fd> tun, const Identity& caller, const Verdict& verdict);

// Takes a hand-over back whose descriptors were not sent. A tap that was made for it goes by itself, with them.
Status take_back(Rtnl& rtnl, HandOver hand_over);

// The refusal, in the same words whether a rule forbids it, none allows it, or there is no such bridge: nobody learns here
// which interfaces exist.
Error access_denied(const Spec& spec, const Identity& caller);

}  // namespace tapferry
