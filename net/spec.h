// SPDX-License-Identifier: MIT
//
// SPEC, the text that asks for an interface: KIND[=NAME][,key=value]...
// The grammar is the same for the privileged helper, the policy's tests and the unprivileged tools, so it is here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/mac.h"

namespace tapferry {

inline constexpr size_t kMaxSpecLength = 1024;
inline constexpr unsigned kMaxQueues = 64;
// A MTU that tun takes: IPv4's least (RFC 791), and 65535 less the Ethernet header (drivers/net/tun.c, MAX_MTU).
inline constexpr unsigned kMinMtu = 68;
inline constexpr unsigned kMaxMtu = 65521;

enum class Kind { kBridge, kTap, kMacvtap, kDevice };
enum class MacvtapMode { kBridge, kVepa, kPrivate, kPassthru, kSource };
enum class VhostNet { kOff, kOn, kAuto };

// EtherTypes that may cross, or whatever the host side has addresses for.
struct ProtocolFilter {
  bool is_auto = false;
  std::vector<uint16_t> ethertypes;  // host byte order, ascending, no duplicates

  bool operator==(const ProtocolFilter&) const = default;
};

// What was asked. A key that a policy rule can force is optional: unset means that the request doesn't say.
struct Spec {
  Kind kind = Kind::kBridge;
  std::string object;  // the bridge ("br0", "ovs:br-int"), the tap (may be empty), the macvtap's parent, the device

  std::optional<std::string> name;
  unsigned queues = 1;
  bool vnet_hdr = true;
  unsigned vnet_hdr_sz = 12;  // bytes
  std::optional<bool> up;
  std::optional<Mac> mac;
  std::optional<unsigned> mtu;  // bytes
  VhostNet vhost = VhostNet::kOff;
  MacvtapMode mode = MacvtapMode::kBridge;
  std::optional<Mac> guest_mac;
  std::optional<bool> lock;
  std::optional<bool> isolated;
  std::optional<uint64_t> rate_to;    // bits per second towards the guest
  std::optional<uint64_t> rate_from;  // bits per second from the guest
  std::optional<ProtocolFilter> filter;
  bool persist = false;
  std::optional<std::string> iface_id;  // of the port in Open vSwitch: the logical port that OVN binds it to

  bool operator==(const Spec&) const = default;
};

// The error names the key or the name at fault; its object is the SPEC.
Result<Spec> parse_spec(std::string_view text);

// A SPEC that parses to the same; keys at their default are left out.
std::string to_string(const Spec& spec);

// "bridge", "tap", ...: the word SPEC and policy use.
std::string_view kind_name(Kind kind);
std::optional<Kind> parse_kind(std::string_view text);
std::string_view mode_name(MacvtapMode mode);
std::optional<MacvtapMode> parse_mode(std::string_view text);
std::string to_string(const ProtocolFilter& filter);

// The grammar's keys in words, for those who explain it: what is said when a value doesn't fit says what would.
struct SpecKey {
  std::string_view name;
  std::string_view expected;
};
std::vector<SpecKey> spec_keys();

// The values that SPEC and policy share.
// Below this a burst that lets the largest frame pass is longer than act_police can count (2^32 ticks of 64 ns).
inline constexpr uint64_t kMinRate = 8000;                  // bits per second
std::optional<uint64_t> parse_rate(std::string_view text);  // "100mbit" as tc(8) has it, into bits per second
inline constexpr std::string_view kRateExpected = "a number and bit, kbit, mbit, gbit or tbit, 8kbit at least";
std::string rate_to_string(uint64_t bits_per_second);
std::optional<ProtocolFilter> parse_filter(std::string_view text);  // "auto", or names and 0xHHHH with commas

// A name that the kernel takes for an interface (dev_valid_name() in net/core/dev.c): 1 to 15 bytes, not "." or "..", no
// slash, colon or white space; and no control character, which no name needs.
bool is_interface_name(std::string_view name);

// A name, or path, that a rule of the policy can have; others can't be asked for, since nobody could deny them: one without , and =.
bool can_stand_in_rule(std::string_view name);

// A name that a new interface may get: UTF-8 without control characters of any kind, one that can stand in a rule, one %d at most, and neither "all" nor
// "default", which /proc/sys/net/ipv6/conf has for something else than an interface.
bool is_new_interface_name(std::string_view name);

}  // namespace tapferry
