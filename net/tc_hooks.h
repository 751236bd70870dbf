// SPDX-License-Identifier: MIT
//
// Traffic control as the kernel has it on one interface: the places where net/tc.h hangs its rules, and the messages that
// put, read and delete what is there. What is ours is known by its handle; anything else is the administrator's.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "net/frame_filter.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

enum class Hook { kIngress, kEgress };
enum class Clsact { kNone, kOurs, kForeign };

// What is there, or should be.
struct TrafficHooks {
  std::optional<uint64_t> queue_rate;    // tbf as the root qdisc, at egress; bits per second
  std::optional<uint64_t> ingress_rate;  // act_police at ingress
  FrameRules ingress;
  FrameRules egress;
  Clsact clsact = Clsact::kNone;  // read only: whether there is one, and whether it holds our filters alone

  bool needs_clsact() const { return ingress_rate || !ingress.is_empty() || !egress.is_empty(); }
};

// Of the administrator's things, only a clsact (or an ingress qdisc) is told. An empty clsact counts as ours.
Result<TrafficHooks> read_hooks(Rtnl& rtnl, const Link& link);

// Each is one message. Errors: EEXIST where the administrator has a root qdisc; ENOENT where the kernel lacks what it takes.
Status put_queue_rate(Rtnl& rtnl, const Link& link, uint64_t bits_per_second, bool is_there);
Status delete_queue_rate(Rtnl& rtnl, const Link& link);
Status add_clsact(Rtnl& rtnl, const Link& link);
Status delete_clsact(Rtnl& rtnl, const Link& link);
// Adds it, or takes the place of the one that is there.
Status put_frame_filter(Rtnl& rtnl, const Link& link, Hook hook, const FrameRules& rules);
Status delete_frame_filter(Rtnl& rtnl, const Link& link, Hook hook);
Status put_ingress_rate(Rtnl& rtnl, const Link& link, uint64_t bits_per_second);
Status delete_ingress_rate(Rtnl& rtnl, const Link& link);

}  // namespace tapferry
