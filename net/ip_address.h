// SPDX-License-Identifier: MIT
//
// An IPv4 or IPv6 address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tapferry {

struct IpAddress {
  bool is_v6 = false;
  std::array<uint8_t, 16> bytes{};  // the first 4 for IPv4, the others zero then

  std::span<const uint8_t> view() const { return std::span(bytes).first(is_v6 ? 16 : 4); }
  bool operator==(const IpAddress&) const = default;
  auto operator<=>(const IpAddress&) const = default;
  bool is_multicast() const;
  bool is_unspecified() const;
};

// As inet_pton(3) takes them: four decimal numbers, or RFC 4291's text without a zone.
std::optional<IpAddress> parse_ip(std::string_view text);
// "192.0.2.1", "2001:db8::1" (inet_ntop(3)).
std::string to_string(const IpAddress& address);
IpAddress ip_address(std::span<const uint8_t> bytes);  // of 4 or 16 bytes

}  // namespace tapferry
