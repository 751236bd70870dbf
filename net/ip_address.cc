// SPDX-License-Identifier: MIT
#include "net/ip_address.h"

#include <algorithm>
#include <arpa/inet.h>

namespace tapferry {

bool IpAddress::is_multicast() const { return is_v6 ? bytes[0] == 0xff : bytes[0] >> 4 == 14; }

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.is_v6 = true;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.is_v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof text);
  return text;
}

IpAddress ip_address(std::span<const uint8_t> bytes) {
  IpAddress address;
  address.is_v6 = bytes.size() == 16;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

}  // namespace tapferry
