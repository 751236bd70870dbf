// SPDX-License-Identifier: MIT
//
// An Ethernet address.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tapferry {

struct Mac {
  std::array<uint8_t, 6> bytes{};

  bool operator==(const Mac&) const = default;
  // The group bit (IEEE 802.3, 3.2.3) is clear, and the address isn't all zeros: an interface can have it.
  bool is_unicast() const { return (bytes[0] & 1) == 0 && *this != Mac{}; }
};

// Six pairs of hexadecimal digits with colons between.
std::optional<Mac> parse_mac(std::string_view text);

// Lower case, with colons.
std::string to_string(const Mac& mac);

}  // namespace tapferry
