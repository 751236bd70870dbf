// SPDX-License-Identifier: MIT
#include "vhost/rarp.h"

#include <algorithm>
#include <cstring>

namespace tapferry {

std::array<uint8_t, kRarpFrameBytes> rarp_frame(const Mac& mac) {
  // Destination, source; EtherType RARP; hardware Ethernet, protocol IPv4, their lengths; operation 3.
  constexpr uint8_t kFixed[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
  std::array<uint8_t, kRarpFrameBytes> frame{};
  std::fill_n(frame.begin(), 6, uint8_t{0xff});
  std::ranges::copy(mac.bytes, frame.begin() + 6);
  std::ranges::copy(kFixed, frame.begin() + 12);
  // Sender and target are the same, and neither has an IP address.
  std::ranges::copy(mac.bytes, frame.begin() + 22);
  std::ranges::copy(mac.bytes, frame.begin() + 32);
  return frame;
}

Result<Mac> rarp_mac(uint64_t payload) {
  Mac mac;
  memcpy(mac.bytes.data(), &payload, mac.bytes.size());
  if (!mac.is_unicast()) return Error("do", "SEND_RARP", to_string(mac) + " is no guest's address");
  return mac;
}

}  // namespace tapferry
