// SPDX-License-Identifier: MIT
//
// Virtio's feature bits of a network device (virtio 1.2, 5.1.3 and 6): which are offered, given what the tap can do, and what
// those that the driver took mean for frames. Pure.
//
// Control queue, MAC and announcing are the VMM's own: QEMU masks only those bits with the back-end's that concern frames and
// rings (user_feature_bits in its hw/net/vhost_net.c).
#pragma once

#include <cstdint>

#include "base/result.h"
#include "vhost/worker.h"

namespace tapferry {

enum class Feature : unsigned {
  kCsum = 0,       // the device takes frames whose checksum is left to it
  kGuestCsum = 1,  // so does the driver
  kMtu = 3,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kMrgRxbuf = 15,
  kStatus = 16,
  kGuestAnnounce = 21,
  kMq = 22,
  kLogAll = 26,  // VHOST_F_LOG_ALL: between front-end and back-end, never the driver's
  kIndirectDesc = 28,
  kEventIdx = 29,
  kProtocolFeatures = 30,  // VHOST_USER_F_PROTOCOL_FEATURES: likewise
  kVersion1 = 32,
  kRingPacked = 34,
  kInOrder = 35,
  kGuestUso4 = 54,
  kGuestUso6 = 55,
  kHostUso = 56,
};

constexpr uint64_t bit(Feature feature) { return uint64_t{1} << static_cast<unsigned>(feature); }
constexpr bool has(uint64_t features, Feature feature) { return (features & bit(feature)) != 0; }

// TUN_F_USO4 and TUN_F_USO6 of <linux/if_tun.h>, from Linux 6.2 on; tun takes only both of them.
inline constexpr unsigned kTunUso = 0x20 | 0x40;

// What the tap and the command line make possible.
struct NetAbilities {
  unsigned tap_offloads = 0;  // TUN_F_* that the kernel takes for this tap
  unsigned queue_pairs = 1;
  unsigned mtu = 1500;  // bytes, of the tap; 0: not known
  MergeTypes merge;     // nothing set: coalescing is off
};

uint64_t offered_features(const NetAbilities& abilities);

// That nothing was taken that wasn't offered. A bit whose precondition was not taken (GUEST_TSO4 without GUEST_CSUM; virtio 1.2,
// 5.1.3.1) is no error, since drivers differ there: it has no effect.
Status check_features(uint64_t acked, uint64_t offered);

// TUN_F_* to set: what the driver accepts to receive.
unsigned tap_offloads(uint64_t acked);
FrameRules frame_rules(uint64_t acked, const NetAbilities& abilities);

}  // namespace tapferry
