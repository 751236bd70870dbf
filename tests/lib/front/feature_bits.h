// SPDX-License-Identifier: MIT
//
// Feature bits of a network device by their names in virtio 1.2 (5.1.3 and 6); <linux/virtio_net.h> of Debian 12 isn't C++, and
// doesn't have them all.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tapferry::front {

enum FeatureBit : unsigned {
  kCsum = 0,
  kGuestCsum = 1,
  kMtu = 3,
  kMac = 5,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kGuestUfo = 10,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kHostUfo = 14,
  kMrgRxbuf = 15,
  kStatus = 16,
  kCtrlVq = 17,
  kGuestAnnounce = 21,
  kMq = 22,
  kLogAll = 26,
  kIndirectDesc = 28,
  kEventIdx = 29,
  kProtocolFeatures = 30,
  kVersion1 = 32,
  kRingPacked = 34,
  kInOrder = 35,
  kGuestUso4 = 54,
  kGuestUso6 = 55,
  kHostUso = 56,
};

struct FeatureName {
  std::string_view name;
  unsigned bit;
};

inline constexpr std::array kFeatureNames = std::to_array<FeatureName>({
    {"csum", kCsum},
    {"guest_csum", kGuestCsum},
    {"mtu", kMtu},
    {"mac", kMac},
    {"guest_tso4", kGuestTso4},
    {"guest_tso6", kGuestTso6},
    {"guest_ecn", kGuestEcn},
    {"guest_ufo", kGuestUfo},
    {"host_tso4", kHostTso4},
    {"host_tso6", kHostTso6},
    {"host_ecn", kHostEcn},
    {"host_ufo", kHostUfo},
    {"mrg_rxbuf", kMrgRxbuf},
    {"status", kStatus},
    {"ctrl_vq", kCtrlVq},
    {"guest_announce", kGuestAnnounce},
    {"mq", kMq},
    {"log_all", kLogAll},
    {"indirect_desc", kIndirectDesc},
    {"event_idx", kEventIdx},
    {"protocol_features", kProtocolFeatures},
    {"version_1", kVersion1},
    {"ring_packed", kRingPacked},
    {"in_order", kInOrder},
    {"guest_uso4", kGuestUso4},
    {"guest_uso6", kGuestUso6},
    {"host_uso", kHostUso},
});

}  // namespace tapferry::front
