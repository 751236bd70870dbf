// SPDX-License-Identifier: MIT
#include "vhost/net_features.h"

#include <cstdio>
#include <linux/if_tun.h>

namespace tapferry {
namespace {

// A GSO frame of any kind can come.
constexpr unsigned kTunGso = TUN_F_TSO4 | TUN_F_TSO6 | kTunUso;

constexpr uint64_t kAlways = bit(Feature::kVersion1) | bit(Feature::kEventIdx) | bit(Feature::kIndirectDesc) |
                             bit(Feature::kRingPacked) | bit(Feature::kInOrder) | bit(Feature::kMrgRxbuf) |
                             bit(Feature::kMtu) | bit(Feature::kStatus) | bit(Feature::kGuestAnnounce) |
                             bit(Feature::kLogAll) | bit(Feature::kProtocolFeatures);
// tun reads these from the header of each frame that is written, whatever was set with TUNSETOFFLOAD (virtio_net_hdr_to_skb()).
constexpr uint64_t kFromGuest =
    bit(Feature::kCsum) | bit(Feature::kHostTso4) | bit(Feature::kHostTso6) | bit(Feature::kHostEcn);

}  // namespace

uint64_t offered_features(const NetAbilities& abilities) {
  uint64_t offered = kAlways | kFromGuest;
  const unsigned taken = abilities.tap_offloads;
  if ((taken & TUN_F_CSUM) != 0) offered |= bit(Feature::kGuestCsum);
  if ((taken & TUN_F_TSO4) != 0) offered |= bit(Feature::kGuestTso4);
  if ((taken & TUN_F_TSO6) != 0) offered |= bit(Feature::kGuestTso6);
  if ((taken & TUN_F_TSO_ECN) != 0) offered |= bit(Feature::kGuestEcn);
  // One kernel version has brought both directions.
  if ((taken & kTunUso) == kTunUso) {
    offered |= bit(Feature::kGuestUso4) | bit(Feature::kGuestUso6) | bit(Feature::kHostUso);
  }
  if (abilities.queue_pairs > 1) offered |= bit(Feature::kMq);
  return offered;
}

Status check_features(uint64_t acked, uint64_t offered) {
  const uint64_t surplus = acked & ~offered;
  if (surplus == 0) return {};
  char number[20];
  snprintf(number, sizeof number, "0x%llx", static_cast<unsigned long long>(surplus));
  return Error("do", "SET_FEATURES", "bits that were not offered: " + std::string(number));
}

unsigned tap_offloads(uint64_t acked) {
  if (!has(acked, Feature::kGuestCsum)) return 0;
  unsigned offloads = TUN_F_CSUM;
  if (has(acked, Feature::kGuestTso4)) offloads |= TUN_F_TSO4;
  if (has(acked, Feature::kGuestTso6)) offloads |= TUN_F_TSO6;
  // Without TSO tun takes no TUN_F_TSO_ECN, and one of the two for USO is not taken alone (set_offload() in drivers/net/tun.c).
  if (offloads != TUN_F_CSUM && has(acked, Feature::kGuestEcn)) offloads |= TUN_F_TSO_ECN;
  if (has(acked, Feature::kGuestUso4) && has(acked, Feature::kGuestUso6)) offloads |= kTunUso;
  return offloads;
}

FrameRules frame_rules(uint64_t acked, const NetAbilities& abilities) {
  FrameRules rules;
  const bool has_num_buffers = has(acked, Feature::kVersion1) || has(acked, Feature::kMrgRxbuf);
  rules.header_bytes = has_num_buffers ? 12 : 10;
  rules.has_mergeable_buffers = has(acked, Feature::kMrgRxbuf);
  rules.has_large_receive = (tap_offloads(acked) & kTunGso) != 0;
  rules.mtu = abilities.mtu;
  rules.merge = abilities.merge;
  return rules;
}

}  // namespace tapferry
