// SPDX-License-Identifier: MIT
//
// Stage 4: from a decided request to an interface that is ready to be handed over. Nothing of it stays if a step fails or the
// process is killed: a tap goes with its last descriptor, and descriptors go with the process; a macvtap goes with
// its last descriptor too, by the warden.
#pragma once

#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/device.h"
#include "helper/maker.h"
#include "helper/policy.h"
#include "helper/port_security.h"
#include "helper/privilege.h"
#include "net/grant.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// How an interface that existed before was found, so that a hand-over which fails after all leaves it so.
struct Undo {
  std::optional<Link> bring_down;
  std::optional<unsigned> vnet_hdr_sz;
  std::optional<TrafficBefore> traffic;
  std::optional<uid_t> made_by_maker;  // for whom
};

struct HandOver {
  std::vector<Fd> queues;
  std::vector<Fd> vhost;  // of /dev/vhost-net, one for each queue, or none
  Grant grant;
  Undo undo;
};

// That what a rule has made of a request can be had at all; an error that says why not.
Status check_supported(const Spec& spec);

// `tun` are fresh /dev/net/tun descriptors, at least as many as the queues of a tap. `verdict` allows the request; for
// device= it is about `device`, which other kinds don't look at.
Result<HandOver> make_interface(Rtnl& rtnl, std::vector<Fd> tun, Result<Maker>& maker, const Identity& caller,
                                const Verdict& verdict, const Result<Device>& device);

// What every kind ends with: header size, rates and filters, up; with what they were before if the interface isn't new.
Status finish(Rtnl& rtnl, const Link& link, bool is_existing, const Spec& spec, HandOver* made);
Grant grant_of(const Link& link, const Verdict& verdict);

// Takes a hand-over back whose descriptors were not sent. A tap that was made for it goes by itself, with them.
Status take_back(Rtnl& rtnl, Result<Maker>& maker, HandOver hand_over);

// The refusal, in the same words whether a rule forbids it, none allows it, or there is no such bridge: nobody learns here
// which interfaces exist.
Error access_denied(const Spec& spec, const Identity& caller);

}  // namespace tapferry
