// SPDX-License-Identifier: MIT
//
// What `tapferry link show` prints: a paragraph for each interface, or JSON.

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <span>

#include "base/text.h"
#include "net/netdevice_flags.h"
#include "tools/json.h"
#include "tools/link.h"
#include "tools/link_facts.h"

namespace tapferry {
namespace {

std::string hardware_text(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// What the ioctl gave, in the length that rtnetlink knows; an InfiniBand address doesn't fit the ioctl.
std::string address_text(const LinkFacts& facts) {
  const size_t length = facts.detail.address.size();
  if (length > facts.address.bytes.size()) return hardware_text(facts.detail.address);
  return hardware_text(std::span(facts.address.bytes).first(length));
}

template <typename Address>
std::string ip_text(int family, const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, &address, text, sizeof text);
  return text;
}

bool is_equal(in_addr a, in_addr b) { return a.s_addr == b.s_addr; }

std::string type_text(uint16_t type) {
  switch (type) {
    case ARPHRD_ETHER: return "ether";
    case ARPHRD_LOOPBACK: return "loopback";
    case ARPHRD_NONE: return "none";
    default: return std::to_string(type);
  }
}

// The kernel's ipv6_addr_scope() bits, as /proc/net/if_inet6 has them.
std::string scope_text(unsigned scope) {
  switch (scope) {
    case 0x00: return "global";
    case 0x10: return "host";
    case 0x20: return "link";
    case 0x40: return "site";
    default: return std::to_string(scope);
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

// --- for people

struct Counter {
  const char* name;
  uint64_t value;
};

std::vector<Counter> counters_of(const ReceiveCounters& in) {
  return {{"bytes", in.bytes}, {"packets", in.packets}, {"errors", in.errors},         {"dropped", in.dropped},
          {"fifo", in.fifo},   {"frame", in.frame},     {"compressed", in.compressed}, {"multicast", in.multicast}};
}

std::vector<Counter> counters_of(const TransmitCounters& out) {
  return {
      {"bytes", out.bytes}, {"packets", out.packets},       {"errors", out.errors},   {"dropped", out.dropped},
      {"fifo", out.fifo},   {"collisions", out.collisions}, {"carrier", out.carrier}, {"compressed", out.compressed}};
}

// Bytes and packets always, the others where they have counted something.
std::string counters_text(const std::vector<Counter>& counters) {
  std::vector<std::string> words;
  for (size_t i = 0; i < counters.size(); ++i) {
    const Counter& each = counters[i];
    if (i < 2 || each.value != 0) words.push_back(std::to_string(each.value) + " " + each.name);
  }
  return joined(words);
}

std::string map_text(const HardwareMap& map) {
  return "mem_start=" + std::to_string(map.mem_start) + ",mem_end=" + std::to_string(map.mem_end) +
         ",base_addr=" + std::to_string(map.base_addr) + ",irq=" + std::to_string(map.irq) +
         ",dma=" + std::to_string(map.dma) + ",port=" + std::to_string(map.port);
}

std::string ipv4_text(const Ipv4Facts& one, const std::string& name) {
  std::string text = ip_text(AF_INET, one.address) + "/" + std::to_string(one.prefix_len);
  if (!is_equal(one.address, one.destination)) text += " peer " + ip_text(AF_INET, one.destination);
  if (one.broadcast.s_addr != 0) text += " broadcast " + ip_text(AF_INET, one.broadcast);
  if (one.label != name) text += " label " + escape(one.label);
  return text;
}

std::string multicast_text(const MulticastEntry& one) {
  std::string text = hardware_text(one.address) + ", " + std::to_string(one.users);
  text += one.users == 1 ? " user" : " users";
  return one.is_added_globally ? text + ", added" : text;
}

std::string paragraph(const LinkFacts& facts) {
  std::string text = std::to_string(facts.link.index) + ": " + escape(facts.link.name) + "\n";
  const auto line = [&](std::string_view key, const std::string& value) {
    text += "  " + std::string(key) + std::string(12 - key.size(), ' ') + value + "\n";
  };
  line("flags", joined(interface_flag_names(facts.flags)));
  line("mtu", std::to_string(facts.mtu));
  line("metric", std::to_string(facts.metric));
  line("txqueuelen", std::to_string(facts.tx_queue_len));
  line("type", type_text(facts.address.type));
  if (!facts.detail.address.empty()) line("address", address_text(facts));
  if (!facts.detail.broadcast.empty()) line("broadcast", hardware_text(facts.detail.broadcast));
  if (facts.map != HardwareMap{}) line("map", map_text(facts.map));
  for (const Ipv4Facts& one : facts.ipv4) line("inet", ipv4_text(one, facts.link.name));
  for (const Ipv6Entry& one : facts.ipv6) {
    line("inet6", ip_text(AF_INET6, one.address) + "/" + std::to_string(one.prefix_len) + " " + scope_text(one.scope));
  }
  for (const MulticastEntry& one : facts.multicast) line("multicast", multicast_text(one));
  line("received", counters_text(counters_of(facts.counters.received)));
  line("sent", counters_text(counters_of(facts.counters.sent)));
  return text;
}

// --- for programs

void write_text_or_null(JsonWriter* json, const char* key, const std::string& text) {
  if (text.empty()) {
    json->null(key);
  } else {
    json->text(key, text);
  }
}

void write_addresses(JsonWriter* json, const LinkFacts& facts) {
  json->begin_array("ipv4");
  for (const Ipv4Facts& one : facts.ipv4) {
    json->begin_object(nullptr);
    json->text("label", one.label);
    json->text("address", ip_text(AF_INET, one.address));
    json->number("prefix_len", one.prefix_len);
    const bool has_peer = !is_equal(one.address, one.destination);
    write_text_or_null(json, "peer", has_peer ? ip_text(AF_INET, one.destination) : "");
    write_text_or_null(json, "broadcast", one.broadcast.s_addr != 0 ? ip_text(AF_INET, one.broadcast) : "");
    json->end_object();
  }
  json->end_array();
  json->begin_array("ipv6");
  for (const Ipv6Entry& one : facts.ipv6) {
    json->begin_object(nullptr);
    json->text("address", ip_text(AF_INET6, one.address));
    json->number("prefix_len", one.prefix_len);
    json->text("scope", scope_text(one.scope));
    json->number("flags", one.flags);
    json->end_object();
  }
  json->end_array();
  json->begin_array("multicast");
  for (const MulticastEntry& one : facts.multicast) {
    json->begin_object(nullptr);
    json->text("address", hardware_text(one.address));
    json->number("users", one.users);
    json->boolean("added", one.is_added_globally);
    json->end_object();
  }
  json->end_array();
}

void write_counters(JsonWriter* json, const char* key, const std::vector<Counter>& counters) {
  json->begin_object(key);
  for (const Counter& each : counters) json->number(each.name, static_cast<int64_t>(each.value));
  json->end_object();
}

void write_map(JsonWriter* json, const HardwareMap& map) {
  json->begin_object("map");
  json->number("mem_start", static_cast<int64_t>(map.mem_start));
  json->number("mem_end", static_cast<int64_t>(map.mem_end));
  json->number("base_addr", map.base_addr);
  json->number("irq", map.irq);
  json->number("dma", map.dma);
  json->number("port", map.port);
  json->end_object();
}

void write_link(JsonWriter* json, const LinkFacts& facts) {
  json->begin_object(nullptr);
  json->number("ifindex", facts.link.index);
  json->text("ifname", facts.link.name);
  json->texts("flags", interface_flag_names(facts.flags));
  if (facts.private_flags) {
    json->number("private_flags", *facts.private_flags);
  } else {
    json->null("private_flags");
  }
  json->number("mtu", facts.mtu);
  json->number("metric", facts.metric);
  json->number("txqueuelen", facts.tx_queue_len);
  json->number("type", facts.address.type);
  write_text_or_null(json, "address", address_text(facts));
  write_text_or_null(json, "broadcast", hardware_text(facts.detail.broadcast));
  write_map(json, facts.map);
  write_addresses(json, facts);
  write_counters(json, "received", counters_of(facts.counters.received));
  write_counters(json, "sent", counters_of(facts.counters.sent));
  json->end_object();
}

std::string json_of(const std::vector<LinkFacts>& links) {
  JsonWriter json;
  json.number("version", 1);
  json.begin_array("links");
  for (const LinkFacts& facts : links) write_link(&json, facts);
  json.end_array();
  return json.take_line();
}

}  // namespace

Result<std::string> show_links(const std::vector<std::string>& which, bool is_json) {
  const std::vector<LinkFacts> links = TRY(read_links(which));
  if (is_json) return json_of(links);
  std::string text;
  for (const LinkFacts& facts : links) text += paragraph(facts);
  return text;
}

}  // namespace tapferry
