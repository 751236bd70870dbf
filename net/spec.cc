// SPDX-License-Identifier: MIT
#include "net/spec.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>

#include "base/parse.h"
#include "base/text.h"
#include "net/ovs.h"

namespace tapferry {
namespace {

template <typename T>
struct Word {
  std::string_view text;
  T value;
};

constexpr Word<Kind> kKinds[] = {
    {"bridge", Kind::kBridge}, {"tap", Kind::kTap}, {"macvtap", Kind::kMacvtap}, {"device", Kind::kDevice}};
constexpr Word<MacvtapMode> kModes[] = {{"bridge", MacvtapMode::kBridge},
                                        {"vepa", MacvtapMode::kVepa},
                                        {"private", MacvtapMode::kPrivate},
                                        {"passthru", MacvtapMode::kPassthru},
                                        {"source", MacvtapMode::kSource}};
constexpr Word<VhostNet> kVhost[] = {{"off", VhostNet::kOff}, {"on", VhostNet::kOn}, {"auto", VhostNet::kAuto}};
// IEEE 802 numbers, as <linux/if_ether.h> has them.
constexpr Word<uint16_t> kEthertypes[] = {
    {"ipv4", 0x0800}, {"arp", 0x0806}, {"rarp", 0x8035}, {"vlan", 0x8100}, {"ipv6", 0x86dd}};
// tc(8), PARAMETERS, RATES; largest first, for printing.
constexpr Word<uint64_t> kRateUnits[] = {
    {"tbit", 1000000000000}, {"gbit", 1000000000}, {"mbit", 1000000}, {"kbit", 1000}, {"bit", 1}};

template <typename T, size_t N>
std::optional<T> find_word(const Word<T> (&words)[N], std::string_view text) {
  for (const auto& word : words) {
    if (word.text == text) return word.value;
  }
  return std::nullopt;
}

template <typename T, size_t N>
std::string_view word_of(const Word<T> (&words)[N], T value) {
  for (const auto& word : words) {
    if (word.value == value) return word.text;
  }
  return "?";
}

Status check_object(const Spec& spec, std::string_view text) {
  const auto refuse = [&](std::string_view reason) { return Error("read", text, reason); };
  if (!can_stand_in_rule(spec.object)) return refuse("a name with , or = can't be asked for: no rule can have it");
  if (spec.kind == Kind::kDevice) {
    if (spec.object.empty()) return refuse("device= needs a path, an interface name or an index");
    if (spec.object[0] != '/' && !is_interface_name(spec.object)) {
      return refuse("device= takes an absolute path, an interface name of at most 15 bytes, or an index");
    }
    return {};
  }
  if (spec.kind == Kind::kTap && spec.object.empty()) return {};
  if (spec.object.empty()) return refuse(std::string(kind_name(spec.kind)) + "= needs an interface's name");
  if (const auto bridge = ovs_bridge(spec.object); bridge && spec.kind == Kind::kBridge) {
    if (is_ovs_interface_name(*bridge)) return {};
    return refuse("bridge=ovs: takes a bridge's name of 1 to 15 letters, digits and . _ -");
  }
  if (!is_interface_name(spec.object)) {
    return refuse("`" + spec.object + "' can't be an interface's name (1 to 15 bytes, no blank, slash or colon)");
  }
  if (spec.kind == Kind::kTap && (!is_new_interface_name(spec.object) || spec.object.find('%') != std::string::npos)) {
    return refuse("tap= takes a name without %, and neither all nor default; for a pattern use name=");
  }
  return {};
}

// A key's value into `spec`; false if the value doesn't fit the key, with `expected` saying what would.
struct Key {
  std::string_view name;
  std::string_view expected;
  bool (*set)(Spec&, std::string_view value);
};

template <typename T, typename U>
bool assign(T& field, const std::optional<U>& value) {
  if (!value) return false;
  field = static_cast<T>(*value);
  return true;
}

template <typename U>
bool assign(std::optional<U>& field, const std::optional<U>& value) {
  field = value;
  return value.has_value();
}

bool assign_unicast(std::optional<Mac>& field, std::string_view value) {
  field = parse_mac(value);
  return field && field->is_unicast();
}

bool set_name(Spec& spec, std::string_view value) {
  if (!is_new_interface_name(value)) return false;
  spec.name = value;
  return true;
}

bool set_iface_id(Spec& spec, std::string_view value) {
  if (!is_ovs_word(value, kMaxIfaceId)) return false;
  spec.iface_id = value;
  return true;
}

bool set_mtu(Spec& spec, std::string_view value) {
  const auto mtu = parse_uint(value, kMinMtu, kMaxMtu);
  if (mtu) spec.mtu = static_cast<unsigned>(*mtu);
  return mtu.has_value();
}

constexpr std::string_view kOnOff = "on or off";
constexpr std::string_view kUnicast = "a unicast MAC address such as 52:54:00:12:34:56";

constexpr Key kKeys[] = {
    {"name", "an interface name of 1 to 15 bytes with at most one %d", set_name},
    {"queues", "1 to 64", [](Spec& s, std::string_view v) { return assign(s.queues, parse_uint(v, 1, kMaxQueues)); }},
    {"vnet_hdr", kOnOff, [](Spec& s, std::string_view v) { return assign(s.vnet_hdr, parse_on_off(v)); }},
    {"vnet_hdr_sz", "10 or 12",
     [](Spec& s, std::string_view v) { return v != "11" && assign(s.vnet_hdr_sz, parse_uint(v, 10, 12)); }},
    {"up", kOnOff, [](Spec& s, std::string_view v) { return assign(s.up, parse_on_off(v)); }},
    {"mac", kUnicast, [](Spec& s, std::string_view v) { return assign_unicast(s.mac, v); }},
    {"mtu", "68 to 65521 bytes", set_mtu},
    {"vhost", "on, off or auto", [](Spec& s, std::string_view v) { return assign(s.vhost, find_word(kVhost, v)); }},
    {"mode", "bridge, vepa, private, passthru or source",
     [](Spec& s, std::string_view v) { return assign(s.mode, parse_mode(v)); }},
    {"guest_mac", kUnicast, [](Spec& s, std::string_view v) { return assign_unicast(s.guest_mac, v); }},
    {"lock", kOnOff, [](Spec& s, std::string_view v) { return assign(s.lock, parse_on_off(v)); }},
    {"isolated", kOnOff, [](Spec& s, std::string_view v) { return assign(s.isolated, parse_on_off(v)); }},
    {"rate_to", kRateExpected, [](Spec& s, std::string_view v) { return assign(s.rate_to, parse_rate(v)); }},
    {"rate_from", kRateExpected, [](Spec& s, std::string_view v) { return assign(s.rate_from, parse_rate(v)); }},
    {"filter", "auto, or a list of ipv4, ipv6, arp, rarp, vlan and 0xHHHH",
     [](Spec& s, std::string_view v) { return assign(s.filter, parse_filter(v)); }},
    {"persist", kOnOff, [](Spec& s, std::string_view v) { return assign(s.persist, parse_on_off(v)); }},
    {"iface_id", "1 to 128 letters, digits and . _ : -", set_iface_id},
};

// "key=value,key=value"; what follows filter= without a key of its own belongs to its list.
std::vector<std::string> split_keys(std::string_view text) {
  std::vector<std::string> parts;
  for (const std::string_view part : split(text, ',')) {
    const bool continues_list = !parts.empty() && parts.back().starts_with("filter=") && !part.empty();
    if (continues_list && part.find('=') == std::string_view::npos) {
      parts.back() += "," + std::string(part);
    } else {
      parts.emplace_back(part);
    }
  }
  return parts;
}

Status set_key(Spec& spec, std::string_view part, unsigned* seen, std::string_view text) {
  const size_t equals = part.find('=');
  const std::string_view name = part.substr(0, equals);
  for (size_t i = 0; i < std::size(kKeys); ++i) {
    if (kKeys[i].name != name) continue;
    if (equals == std::string_view::npos) return Error("read", text, std::string(name) + " needs a value");
    if (*seen & 1u << i) return Error("read", text, std::string(name) + "= is there twice");
    *seen |= 1u << i;
    if (kKeys[i].set(spec, part.substr(equals + 1))) return {};
    return Error("read", text, std::string(name) + "= takes " + std::string(kKeys[i].expected));
  }
  return Error("read", text, "no key is named `" + std::string(name) + "'")
      .with_hint("the keys are in tapferry(1), SPEC");
}

// A port of Open vSwitch is not a Linux bridge's; and ovs-vswitchd takes off the queueing that an interface has (netdev_set_qos in
// vswitchd/bridge.c), and in its userspace datapath gets frames before any filter of the interface does.
Status check_ovs(const Spec& spec, std::string_view text) {
  const auto refuse = [&](std::string_view reason) { return Error("read", text, reason); };
  if (!ovs_bridge(spec.object)) {
    if (spec.iface_id) return refuse("iface_id= is for bridge=ovs:");
    return {};
  }
  if (spec.lock.value_or(false) || spec.guest_mac || spec.isolated.value_or(false)) {
    return refuse("lock=, guest_mac= and isolated= are a Linux bridge's, not for bridge=ovs:")
        .with_hint("OVN's port security and ACLs do that");
  }
  if (spec.rate_to || spec.rate_from || spec.filter) {
    return refuse("rates and filter= don't hold on a port of Open vSwitch")
        .with_hint("it has QoS and flows of its own");
  }
  if (spec.name) {
    std::string name = *spec.name;
    std::erase(name, '%');
    if (!is_ovs_interface_name(name)) return refuse("with bridge=ovs: name= takes letters, digits and . _ -");
  }
  return {};
}

// What no kind, or not this one, can have together.
Status check_combination(const Spec& spec, std::string_view text) {
  const auto refuse = [&](std::string_view reason) { return Error("read", text, reason); };
  if (spec.kind == Kind::kTap && !spec.object.empty() && spec.name)
    return refuse("tap=NAME already names it; leave out name=");
  if (spec.kind == Kind::kDevice && spec.name) return refuse("device= opens what exists; leave out name=");
  if (spec.kind != Kind::kMacvtap && spec.mode != MacvtapMode::kBridge) return refuse("mode= is for macvtap=");
  if (spec.kind != Kind::kBridge && spec.isolated.value_or(false)) return refuse("isolated= is for bridge=");
  if (spec.kind == Kind::kTap && (spec.lock.value_or(false) || spec.guest_mac)) {
    return refuse("lock= and guest_mac= are for what is on a bridge or a parent, not for tap=");
  }
  if (spec.lock.value_or(false) && !spec.guest_mac) return refuse("lock=on needs guest_mac=");
  if (!spec.vnet_hdr && spec.vnet_hdr_sz != 12) return refuse("vnet_hdr_sz= needs vnet_hdr=on");
  return check_ovs(spec, text);
}

}  // namespace

std::string_view kind_name(Kind kind) { return word_of(kKinds, kind); }
std::optional<Kind> parse_kind(std::string_view text) { return find_word(kKinds, text); }
std::string_view mode_name(MacvtapMode mode) { return word_of(kModes, mode); }
std::optional<MacvtapMode> parse_mode(std::string_view text) { return find_word(kModes, text); }

std::vector<SpecKey> spec_keys() {
  std::vector<SpecKey> keys;
  for (const Key& key : kKeys) keys.push_back({key.name, key.expected});
  return keys;
}

bool is_interface_name(std::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= ' ' || byte == 0x7f || c == '/' || c == ':';
  });
}

bool can_stand_in_rule(std::string_view name) { return name.find_first_of(",=") == std::string_view::npos; }

bool is_new_interface_name(std::string_view name) {
  if (!is_interface_name(name) || !can_stand_in_rule(name) || name == "all" || name == "default") return false;
  // Whatever lists interfaces prints the name as it is: JSON holds UTF-8 only, and terminals act on C1 controls.
  std::string text(name);
  std::erase(text, '\\');
  if (escape(text) != text) return false;
  const size_t percent = name.find('%');
  if (percent == std::string_view::npos) return true;
  return name.substr(percent, 2) == "%d" && name.find('%', percent + 1) == std::string_view::npos;
}

std::optional<uint64_t> parse_rate(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos) return std::nullopt;
  const auto unit = find_word(kRateUnits, text.substr(digits));
  if (!unit) return std::nullopt;
  const auto number = parse_uint(text.substr(0, digits), 1, UINT64_MAX / *unit);
  if (!number || *number * *unit < kMinRate) return std::nullopt;
  return *number * *unit;
}

std::string rate_to_string(uint64_t bits_per_second) {
  for (const auto& unit : kRateUnits) {
    if (bits_per_second % unit.value == 0 && bits_per_second >= unit.value) {
      return std::to_string(bits_per_second / unit.value) + std::string(unit.text);
    }
  }
  return "0bit";
}

std::optional<ProtocolFilter> parse_filter(std::string_view text) {
  ProtocolFilter filter;
  if (text == "auto") {
    filter.is_auto = true;
    return filter;
  }
  for (const std::string_view part : split(text, ',')) {
    auto ethertype = find_word(kEthertypes, part);
    if (!ethertype && part.size() == 6 && part.starts_with("0x")) {
      uint16_t value = 0;
      const char* const end = part.data() + part.size();
      const auto read = std::from_chars(part.data() + 2, end, value, 16);
      // Below 0x600 it is a length, not a type (IEEE 802.3, 3.2.6).
      if (read.ec == std::errc() && read.ptr == end && value >= 0x600) ethertype = value;
    }
    if (!ethertype) return std::nullopt;
    filter.ethertypes.push_back(*ethertype);
  }
  std::sort(filter.ethertypes.begin(), filter.ethertypes.end());
  const auto last = std::unique(filter.ethertypes.begin(), filter.ethertypes.end());
  if (last != filter.ethertypes.end()) return std::nullopt;
  return filter;
}

std::string to_string(const ProtocolFilter& filter) {
  if (filter.is_auto) return "auto";
  std::string text;
  for (const uint16_t ethertype : filter.ethertypes) {
    if (!text.empty()) text += ',';
    const std::string_view name = word_of(kEthertypes, ethertype);
    if (name != "?") {
      text += name;
    } else {
      char digits[8];
      snprintf(digits, sizeof digits, "0x%04x", ethertype);
      text += digits;
    }
  }
  return text;
}

Result<Spec> parse_spec(std::string_view text) {
  if (text.size() > kMaxSpecLength) {
    return Error("read", "the request", "longer than " + std::to_string(kMaxSpecLength) + " bytes");
  }
  const size_t comma = text.find(',');
  const std::string_view head = text.substr(0, comma);
  const size_t equals = head.find('=');
  const auto kind = parse_kind(head.substr(0, equals));
  if (!kind) {
    return Error("read", text, "it begins with none of bridge=, tap, macvtap=, device=")
        .with_hint("ask for example for bridge=br0,queues=2");
  }
  Spec spec;
  spec.kind = *kind;
  if (equals != std::string_view::npos) spec.object = head.substr(equals + 1);
  if (*kind == Kind::kTap && equals != std::string_view::npos && spec.object.empty()) {
    return Error("read", text, "tap= needs a name").with_hint("tap alone gets a name by itself");
  }
  TRY(check_object(spec, text));
  unsigned seen = 0;
  if (comma != std::string_view::npos) {
    for (const std::string& part : split_keys(text.substr(comma + 1))) TRY(set_key(spec, part, &seen, text));
  }
  TRY(check_combination(spec, text));
  return spec;
}

std::string to_string(const Spec& spec) {
  std::string text(kind_name(spec.kind));
  if (!spec.object.empty()) text += "=" + spec.object;
  const auto add = [&](std::string_view key, std::string_view value) {
    text += ",";
    text += key;
    text += "=";
    text += value;
  };
  const auto add_on_off = [&](std::string_view key, std::optional<bool> value) {
    if (value) add(key, *value ? "on" : "off");
  };
  if (spec.name) add("name", *spec.name);
  if (spec.queues != 1) add("queues", std::to_string(spec.queues));
  if (!spec.vnet_hdr) add("vnet_hdr", "off");
  if (spec.vnet_hdr_sz != 12) add("vnet_hdr_sz", std::to_string(spec.vnet_hdr_sz));
  add_on_off("up", spec.up);
  if (spec.mac) add("mac", to_string(*spec.mac));
  if (spec.mtu) add("mtu", std::to_string(*spec.mtu));
  if (spec.vhost != VhostNet::kOff) add("vhost", word_of(kVhost, spec.vhost));
  if (spec.mode != MacvtapMode::kBridge) add("mode", mode_name(spec.mode));
  if (spec.guest_mac) add("guest_mac", to_string(*spec.guest_mac));
  add_on_off("lock", spec.lock);
  add_on_off("isolated", spec.isolated);
  if (spec.rate_to) add("rate_to", rate_to_string(*spec.rate_to));
  if (spec.rate_from) add("rate_from", rate_to_string(*spec.rate_from));
  if (spec.filter) add("filter", to_string(*spec.filter));
  if (spec.persist) add("persist", "on");
  if (spec.iface_id) add("iface_id", *spec.iface_id);
  return text;
}

}  // namespace tapferry
