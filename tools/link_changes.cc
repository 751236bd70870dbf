// SPDX-License-Identifier: MIT
#include "tools/link_changes.h"

#include <algorithm>
#include <arpa/inet.h>
#include <climits>
#include <cstring>

#include "base/parse.h"
#include "net/netdevice.h"

namespace tapferry {
namespace {

Error usage(const std::string& reason) { return {"read", "the command line", reason}; }

std::string quoted(std::string_view word) { return "`" + std::string(word) + "'"; }

// The words that are still to be read, and what has been made of those before.
struct Reader {
  std::span<const std::string> words;
  std::vector<Change> changes;

  // The word behind `key`, which wants `what`.
  Result<std::string> value(std::string_view key, std::string_view what) {
    if (words.empty()) return usage(quoted(key) + " wants " + std::string(what));
    const std::string word = words.front();
    words = words.subspan(1);
    return word;
  }
};

Error unfit(std::string_view key, std::string_view what, std::string_view word) {
  return usage(quoted(key) + " wants " + std::string(what) + ", not " + quoted(word));
}

Result<int> read_int(Reader* reader, std::string_view key, std::string_view what) {
  const std::string word = TRY(reader->value(key, what));
  const auto number = parse_uint(word, 0, INT_MAX);
  if (!number) return unfit(key, what, word);
  return static_cast<int>(*number);
}

Result<Mac> read_mac(std::string_view key, std::string_view word) {
  const auto mac = parse_mac(word);
  if (!mac) return unfit(key, "six bytes like 52:54:00:12:34:56", word);
  return *mac;
}

std::optional<in_addr> parse_ipv4(const std::string& text) {
  in_addr address;
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return address;
}

in_addr netmask_of(unsigned prefix_len) {
  return {.s_addr = prefix_len == 0 ? 0 : htonl(UINT32_MAX << (32 - prefix_len))};
}

// "add" or "delete" behind a key.
Result<bool> read_add_delete(std::string_view key, std::string_view word) {
  if (word == "add" || word == "delete") return word == "add";
  return unfit(key, "add or delete", word);
}

Status read_mtu(Reader* reader, std::string_view key) {
  reader->changes.emplace_back(SetMtu { TRY(read_int(reader, key, "a number of bytes")) });
  return {};
}

Status read_tx_queue_len(Reader* reader, std::string_view key) {
  reader->changes.emplace_back(SetTxQueueLen { TRY(read_int(reader, key, "a number of frames")) });
  return {};
}

Status read_metric(Reader* reader, std::string_view key) {
  reader->changes.emplace_back(SetMetric { TRY(read_int(reader, key, "a number")) });
  return {};
}

Status read_private_flags(Reader* reader, std::string_view key) {
  constexpr const char* kWhat = "a number up to 65535";
  const std::string word = TRY(reader->value(key, kWhat));
  const auto flags = parse_uint(word, 0, UINT16_MAX);
  if (!flags) return unfit(key, kWhat, word);
  reader->changes.emplace_back(SetPrivateFlags{static_cast<unsigned>(*flags)});
  return {};
}

Status read_name(Reader* reader, std::string_view key) {
  const std::string word = TRY(reader->value(key, "a name"));
  if (!is_valid_ifname(word)) {
    return unfit(key, "a name of 1 to 15 bytes without slash, colon and blank", word);
  }
  reader->changes.emplace_back(Rename{word});
  return {};
}

Status read_address(Reader* reader, std::string_view key) {
  const std::string word = TRY(reader->value(key, "a hardware address"));
  const Mac mac = TRY(read_mac(key, word));
  if (key == "broadcast") {
    reader->changes.emplace_back(SetBroadcast{mac});
    return {};
  }
  if (!mac.is_unicast()) return unfit(key, "an address that isn't multicast or zero", word);
  reader->changes.emplace_back(SetAddress{mac});
  return {};
}

Status read_map_part(SetMap* map, std::string_view key, std::string_view part) {
  const struct {
    std::string_view name;
    std::optional<uint64_t>* value;
    uint64_t most;
  } keys[] = {{"mem_start", &map->mem_start, ULONG_MAX},
              {"mem_end", &map->mem_end, ULONG_MAX},
              {"base_addr", &map->base_addr, USHRT_MAX},
              {"irq", &map->irq, UCHAR_MAX},
              {"dma", &map->dma, UCHAR_MAX},
              {"port", &map->port, UCHAR_MAX}};
  const size_t equals = part.find('=');
  const std::string_view name = part.substr(0, equals);
  const auto* found =
      std::find_if(std::begin(keys), std::end(keys), [&](const auto& each) { return each.name == name; });
  if (found == std::end(keys) || equals == std::string_view::npos) {
    return unfit(key, "mem_start=, mem_end=, base_addr=, irq=, dma= or port= and a number, with commas between", part);
  }
  if (found->value->has_value()) return usage(quoted(name) + " is given twice");
  *found->value = parse_uint(part.substr(equals + 1), 0, found->most);
  if (!*found->value) return unfit(name, "a number up to " + std::to_string(found->most), part.substr(equals + 1));
  return {};
}

Status read_map(Reader* reader, std::string_view key) {
  const std::string word = TRY(reader->value(key, "its fields"));
  SetMap map;
  for (const std::string_view part : split(word, ',')) TRY(read_map_part(&map, key, part));
  reader->changes.emplace_back(map);
  return {};
}

// multicast on|off is the flag, as in ip-link(8); add and delete are addresses.
Status read_multicast(Reader* reader, std::string_view key) {
  const std::string word = TRY(reader->value(key, "on, off, add or delete"));
  if (const auto is_on = parse_on_off(word)) {
    reader->changes.emplace_back(SetFlag{*interface_flag("multicast"), *is_on});
    return {};
  }
  if (word != "add" && word != "delete") return unfit(key, "on, off, add or delete", word);
  const std::string address = TRY(reader->value(std::string(key) + " " + word, "a hardware address"));
  const Mac mac = TRY(read_mac(key, address));
  if ((mac.bytes[0] & 1) == 0) return unfit(key, "an address whose first byte is odd", address);
  reader->changes.emplace_back(ChangeMulticast{mac, word == "add"});
  return {};
}

Status read_inet(Reader* reader, std::string_view key) {
  constexpr const char* kWhat = "an IPv4 address, with or without /LENGTH, or none";
  const std::string word = TRY(reader->value(key, kWhat));
  if (word == "none") {
    reader->changes.emplace_back(SetIpv4{});
    return {};
  }
  const size_t slash = word.find('/');
  const auto address = parse_ipv4(word.substr(0, slash));
  if (!address || address->s_addr == 0) return unfit(key, kWhat, word);
  reader->changes.emplace_back(SetIpv4{SetIpv4::What::kAddress, *address});
  if (slash == std::string::npos) return {};
  const auto prefix_len = parse_uint(std::string_view(word).substr(slash + 1), 1, 32);
  if (!prefix_len) return unfit(key, "a length from 1 to 32", word);
  const in_addr mask = netmask_of(static_cast<unsigned>(*prefix_len));
  reader->changes.emplace_back(SetIpv4{SetIpv4::What::kNetmask, mask});
  return {};
}

Status read_ipv4_part(Reader* reader, std::string_view key) {
  const std::string word = TRY(reader->value(key, "an IPv4 address"));
  const auto address = parse_ipv4(word);
  if (!address) return unfit(key, "an IPv4 address", word);
  SetIpv4::What what = SetIpv4::What::kNetmask;
  if (key == "brdaddr") what = SetIpv4::What::kBroadcast;
  if (key == "dstaddr") what = SetIpv4::What::kDestination;
  const uint32_t holes = ~ntohl(address->s_addr);
  if (what == SetIpv4::What::kNetmask && (holes & (holes + 1)) != 0) {
    return unfit(key, "a mask whose ones are all in front", word);
  }
  reader->changes.emplace_back(SetIpv4{what, *address});
  return {};
}

Status read_inet6(Reader* reader, std::string_view key) {
  const std::string verb = TRY(reader->value(key, "add or delete"));
  const bool is_added = TRY(read_add_delete(key, verb));
  const std::string word = TRY(reader->value(key, "an IPv6 address and /LENGTH"));
  const size_t slash = word.find('/');
  ChangeIpv6 change{.address = {}, .prefix_len = 0, .is_added = is_added};
  if (slash == std::string::npos || inet_pton(AF_INET6, word.substr(0, slash).c_str(), &change.address) != 1) {
    return unfit(key, "an IPv6 address and /LENGTH", word);
  }
  const auto prefix_len = parse_uint(std::string_view(word).substr(slash + 1), 0, 128);
  if (!prefix_len) return unfit(key, "a length up to 128", word);
  change.prefix_len = static_cast<unsigned>(*prefix_len);
  reader->changes.emplace_back(change);
  return {};
}

constexpr struct {
  std::string_view key;
  Status (*read)(Reader* reader, std::string_view key);
  bool is_repeatable;
} kKeys[] = {
    {"mtu", read_mtu, false},
    {"txqueuelen", read_tx_queue_len, false},
    {"metric", read_metric, false},
    {"name", read_name, false},
    {"address", read_address, false},
    {"broadcast", read_address, false},
    {"map", read_map, false},
    {"private-flags", read_private_flags, false},
    {"multicast", read_multicast, true},
    {"inet", read_inet, false},
    {"netmask", read_ipv4_part, false},
    {"brdaddr", read_ipv4_part, false},
    {"dstaddr", read_ipv4_part, false},
    {"inet6", read_inet6, true},
};

// FLAG on|off; `arp' is ip-link(8)'s word for the opposite of noarp. Returns whether `key' is a flag.
Result<bool> read_flag(Reader* reader, const std::string& key) {
  const bool is_arp = key == "arp";
  const auto flag = interface_flag(is_arp ? "noarp" : key);
  if (!flag) return false;
  if (!flag->is_changeable) return usage(quoted(key) + " is the kernel's own to change");
  const std::string word = TRY(reader->value(key, "on or off"));
  const auto is_on = parse_on_off(word);
  if (!is_on) return unfit(key, "on or off", word);
  reader->changes.emplace_back(SetFlag{*flag, *is_on != is_arp});
  return true;
}

Status read_change(Reader* reader, const std::string& key, std::vector<std::string>* seen) {
  if (key == "up" || key == "down") {
    reader->changes.emplace_back(SetFlag{*interface_flag("up"), key == "up"});
    return {};
  }
  const auto* known =
      std::find_if(std::begin(kKeys), std::end(kKeys), [&](const auto& each) { return each.key == key; });
  const bool is_known = known != std::end(kKeys);
  if (!is_known || !known->is_repeatable) {
    if (std::find(seen->begin(), seen->end(), key) != seen->end()) return usage(quoted(key) + " is given twice");
    seen->push_back(key);
  }
  if (is_known) return known->read(reader, key);
  const bool is_flag = TRY(read_flag(reader, key));
  return is_flag ? Status() : Status(usage(quoted(key) + " is nothing that can be set"));
}

}  // namespace

Result<std::vector<Change>> parse_changes(std::span<const std::string> words) {
  if (words.empty()) return usage("nothing is to be changed");
  Reader reader{words, {}};
  std::vector<std::string> seen;
  while (!reader.words.empty()) {
    const std::string key = reader.words.front();
    reader.words = reader.words.subspan(1);
    TRY(read_change(&reader, key, &seen));
  }
  return std::move(reader.changes);
}

}  // namespace tapferry
