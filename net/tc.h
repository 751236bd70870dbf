// SPDX-License-Identifier: MIT
//
// What the kernel does to each frame on its way to and from the guest: rates and filters, by traffic control (tc(8)).
//
// They hang on the interface, where only CAP_NET_ADMIN can change them, and not on the descriptor, whose holder could take
// off a filter of tun's own. Leaving the interface (egress) a rate is a tbf as the root qdisc; entering it (ingress) there is
// no queue, so act_police drops what is too much. Filters are cls_bpf programs at clsact, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "net/frame_filter.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/rtnl.h"
#include "net/spec.h"

namespace tapferry {

// Where the guest is: what leaves a tap reaches the guest, what leaves a macvtap comes from it.
enum class GuestSide { kTap, kMacvtap };

struct TrafficRules {
  std::optional<uint64_t> rate_to;                  // bits per second towards the guest, kMinRate at least
  std::optional<uint64_t> rate_from;                // bits per second from the guest
  std::optional<Mac> only_source;                   // frames from the guest with another source don't cross
  std::optional<std::vector<uint16_t>> ethertypes;  // both ways; as in FrameRules

  bool operator==(const TrafficRules&) const = default;
  bool is_empty() const { return *this == TrafficRules{}; }
};

// Makes these the rules of the interface, and no others: what an earlier call set is replaced, frame filters and rates in
// one step each, so that none is off meanwhile. If it fails, the rules are as they were. Needs CAP_NET_ADMIN.
// EEXIST: the administrator has a root qdisc or filters of his own there, which stay. ENOENT: this kernel lacks something
// (sch_tbf, sch_ingress, cls_bpf, act_police), which the error names.
Status apply_traffic_rules(Rtnl& rtnl, const Link& link, GuestSide side, const TrafficRules& rules);

// The rules that apply_traffic_rules() last set, none on an interface that it never saw. Needs no privilege.
Result<TrafficRules> read_traffic_rules(Rtnl& rtnl, const Link& link, GuestSide side);

// Swaps the frame filters of both directions for those that `rules` ask for, each in one step; rates stay as they are.
// `rules` must ask for a filter in the same directions as those that apply_traffic_rules() set.
Status replace_frame_filter(Rtnl& rtnl, const Link& link, GuestSide side, const TrafficRules& rules);

}  // namespace tapferry
