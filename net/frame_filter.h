// SPDX-License-Identifier: MIT
//
// Which frames cross, as a classic BPF program for tc's cls_bpf in direct-action mode (net/tc.h attaches it). Classic BPF
// since that takes no more privilege than any change of an interface does; an eBPF program would want CAP_BPF.
//
// The program sees a frame from its Ethernet header on: at ingress cls_bpf pushes that back (net/sched/cls_bpf.c), and by
// then the kernel has moved the outermost VLAN tag from the bytes into the skb; at egress it is in either place.
#pragma once

#include <cstdint>
#include <linux/filter.h>
#include <optional>
#include <span>
#include <vector>

#include "net/mac.h"

namespace tapferry {

// What a frame must be to cross; unset: anything.
struct FrameRules {
  std::optional<Mac> only_source;
  // Host byte order, each at least 0x600. A tagged frame counts as what its outermost tag is (0x8100, 0x88a8), whatever it
  // carries. A frame with a length instead of a type never crosses; an empty list lets nothing cross.
  std::optional<std::vector<uint16_t>> ethertypes;

  bool operator==(const FrameRules&) const = default;
  bool is_empty() const { return !only_source && !ethertypes; }
};

// The program for `rules`: TC_ACT_UNSPEC (go on to the next filter) for a frame that crosses, TC_ACT_SHOT for any other.
// Two instructions for each EtherType and at most 12 besides; the kernel takes 4096 (BPF_MAXINSNS).
std::vector<sock_filter> frame_program(const FrameRules& rules);

// The rules that `program` was made from; nothing if frame_program() didn't make it.
std::optional<FrameRules> read_frame_program(std::span<const sock_filter> program);

// filter=auto: what the host's side needs for the address families that it has. IPv4 includes ARP.
std::vector<uint16_t> ethertypes_for(bool has_ipv4, bool has_ipv6);

}  // namespace tapferry
