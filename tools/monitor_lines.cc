// SPDX-License-Identifier: MIT
#include "tools/monitor_lines.h"

#include <algorithm>
#include <glib.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "base/text.h"
#include "net/netdevice_flags.h"
#include "tools/json.h"

namespace tapferry {
namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words, const char* separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// ---- What things are called

std::string scope_name(unsigned scope) {
  switch (scope) {
    case RT_SCOPE_UNIVERSE: return "global";
    case RT_SCOPE_SITE: return "site";
    case RT_SCOPE_LINK: return "link";
    case RT_SCOPE_HOST: return "host";
    case RT_SCOPE_NOWHERE: return "nowhere";
    default: return std::to_string(scope);
  }
}

// Those that say whether an address is good for anything yet, or still; the others are about how it came to be.
Words address_flag_names(uint32_t flags) {
  constexpr std::pair<uint32_t, const char*> kNames[] = {
      {IFA_F_TENTATIVE, "tentative"}, {IFA_F_DADFAILED, "dadfailed"}, {IFA_F_DEPRECATED, "deprecated"}};
  Words names;
  for (const auto& [bit, name] : kNames) {
    if (flags & bit) names.emplace_back(name);
  }
  return names;
}

std::string address_text(const InterfaceAddress& address) {
  const std::string flags = joined(address_flag_names(address.flags), " ");
  return to_string(address) + (flags.empty() ? "" : " " + flags);
}

std::string media_text(const Media& media) {
  Words words;
  if (media.speed_mbit) words.push_back(std::to_string(*media.speed_mbit) + " Mbit/s");
  if (media.duplex) words.emplace_back(*media.duplex == Duplex::kFull ? "full duplex" : "half duplex");
  return joined(words, " ");
}

std::string kind_text(const Link& link) {
  if (!link.kind.empty()) return link.kind;
  return link.flags & IFF_LOOPBACK ? "loopback" : "hardware";
}

// Those that have words of their own.
constexpr unsigned kToldApart = IFF_UP | IFF_LOWER_UP;

// ---- For people

std::string local_time(int64_t time_us) {
  g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_local(time_us / 1000000);
  g_autofree char* text = g_date_time_format(seconds, "%Y-%m-%d %H:%M:%S");
  char milliseconds[8];
  snprintf(milliseconds, sizeof milliseconds, ".%03d ", static_cast<int>(time_us / 1000 % 1000));
  return text + std::string(milliseconds);
}

std::string whole_state(const InterfaceState& state, const NameOf& name_of) {
  const Link& link = state.link;
  Words words = {"index " + std::to_string(link.index), escape(kind_text(link)), link.is_up() ? "up" : "down",
                 state.has_link() ? "carrier" : "no carrier"};
  const Words flags = interface_flag_names(link.flags & ~kToldApart);
  if (!flags.empty()) words.push_back(joined(flags, " "));
  words.push_back("mtu " + std::to_string(link.mtu));
  words.push_back("mac " + to_string(link.mac));
  if (link.master != 0) words.push_back("master " + escape(name_of(link.master)));
  const std::string media = media_text(state.media);
  if (!media.empty()) words.push_back(media);
  for (const InterfaceAddress& address : state.addresses) words.push_back("address " + address_text(address));
  if (!link.alias.empty()) words.push_back("alias " + escape(link.alias));
  for (const std::string& name : link.altnames) words.push_back("altname " + escape(name));
  return joined(words, ", ");
}

void add_flags(unsigned before, unsigned after, Words* words) {
  Words changes;
  for (const std::string& name : interface_flag_names(after & ~before & ~kToldApart)) changes.push_back("+" + name);
  for (const std::string& name : interface_flag_names(before & ~after & ~kToldApart)) changes.push_back("-" + name);
  if (!changes.empty()) words->push_back(joined(changes, " "));
}

void add_addresses(const LinkChange& change, Words* words) {
  const auto same_in = [](const std::vector<InterfaceAddress>& list, const InterfaceAddress& wanted) {
    return std::find_if(list.begin(), list.end(),
                        [&](const InterfaceAddress& address) { return is_same_address(address, wanted); });
  };
  const auto& before = change.before.addresses;
  const auto& after = change.state.addresses;
  for (const InterfaceAddress& address : before) {
    if (same_in(after, address) == after.end()) words->push_back("address " + to_string(address) + " removed");
  }
  for (const InterfaceAddress& address : after) {
    const auto known = same_in(before, address);
    if (known == before.end()) {
      words->push_back("address " + address_text(address) + " added");
    } else if (*known != address) {
      words->push_back("address " + address_text(address) + " changed");
    }
  }
}

void add_altnames(const LinkChange& change, Words* words) {
  const Words& before = change.before.link.altnames;
  const Words& after = change.state.link.altnames;
  const auto add_missing = [words](const Words& from, const Words& in, const char* what) {
    for (const std::string& name : from) {
      const bool is_there = std::find(in.begin(), in.end(), name) != in.end();
      if (!is_there) words->push_back("altname " + escape(name) + what);
    }
  };
  add_missing(before, after, " removed");
  add_missing(after, before, " added");
}

std::string changed_text(const LinkChange& change, const NameOf& name_of) {
  const Link& before = change.before.link;
  const Link& after = change.state.link;
  const Aspects& aspects = change.aspects;
  Words words;
  if (aspects.has(Aspect::kName)) words.push_back("renamed from " + escape(before.name));
  if (aspects.has(Aspect::kUp)) words.emplace_back(after.is_up() ? "up" : "down");
  if (aspects.has(Aspect::kCarrier)) words.emplace_back(change.state.has_link() ? "carrier" : "no carrier");
  if (aspects.has(Aspect::kFlags)) add_flags(before.flags, after.flags, &words);
  if (aspects.has(Aspect::kMtu))
    words.push_back("mtu " + std::to_string(before.mtu) + " -> " + std::to_string(after.mtu));
  if (aspects.has(Aspect::kMac)) words.push_back("mac " + to_string(before.mac) + " -> " + to_string(after.mac));
  if (aspects.has(Aspect::kMaster)) {
    words.push_back(after.master == 0 ? "no master" : "master " + escape(name_of(after.master)));
  }
  if (aspects.has(Aspect::kAlias)) words.push_back(after.alias.empty() ? "no alias" : "alias " + escape(after.alias));
  if (aspects.has(Aspect::kAltnames)) add_altnames(change, &words);
  if (aspects.has(Aspect::kAddresses)) add_addresses(change, &words);
  if (aspects.has(Aspect::kSpeed) || aspects.has(Aspect::kDuplex)) {
    const std::string media = media_text(change.state.media);
    words.push_back(media.empty() ? "no media" : media);
  }
  // A flag that has no name, or the order of something: nothing to say but that it happened.
  return words.empty() ? "changed" : joined(words, ", ");
}

std::string text_line(const LinkChange& change, const NameOf& name_of) {
  const std::string name = escape(change.state.link.name) + ": ";
  switch (change.kind) {
    case LinkChange::Kind::kPresent: return name + "present: " + whole_state(change.state, name_of);
    case LinkChange::Kind::kAdded: return name + "added: " + whole_state(change.state, name_of);
    case LinkChange::Kind::kChanged: return name + changed_text(change, name_of);
    case LinkChange::Kind::kRemoved: return name + "removed";
    case LinkChange::Kind::kResynchronised: return "resynchronised: changes were missed, everything was read again";
  }
  return "";
}

// ---- For programs

std::string utc_time(int64_t time_us) {
  g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(time_us / 1000000);
  g_autofree char* text = g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
  char microseconds[16];
  snprintf(microseconds, sizeof microseconds, ".%06dZ", static_cast<int>(time_us % 1000000));
  return text + std::string(microseconds);
}

const char* event_name(LinkChange::Kind kind) {
  switch (kind) {
    case LinkChange::Kind::kPresent: return "present";
    case LinkChange::Kind::kAdded: return "added";
    case LinkChange::Kind::kChanged: return "changed";
    case LinkChange::Kind::kRemoved: return "removed";
    case LinkChange::Kind::kResynchronised: return "resynchronised";
  }
  return "";
}

void write_addresses(const std::vector<InterfaceAddress>& addresses, JsonWriter* writer) {
  writer->begin_array("addresses");
  for (const InterfaceAddress& address : addresses) {
    writer->begin_object(nullptr);
    writer->text("family", address.local.is_v6 ? "inet6" : "inet");
    writer->text("local", to_string(address.local));
    writer->number("prefixlen", address.prefix_length);
    if (address.peer) writer->text("peer", to_string(*address.peer));
    writer->text("scope", scope_name(address.scope));
    writer->texts("flags", address_flag_names(address.flags));
    writer->end_object();
  }
  writer->end_array();
}

void write_media(const Aspects& aspects, const Media& media, JsonWriter* writer) {
  if (aspects.has(Aspect::kSpeed)) {
    media.speed_mbit ? writer->number("speed_mbit", *media.speed_mbit) : writer->null("speed_mbit");
  }
  if (aspects.has(Aspect::kDuplex)) {
    media.duplex ? writer->text("duplex", *media.duplex == Duplex::kFull ? "full" : "half") : writer->null("duplex");
  }
}

void write_master(const Link& link, const NameOf& name_of, JsonWriter* writer) {
  if (link.master == 0) {
    writer->null("master");
    writer->null("master_ifindex");
  } else {
    writer->text("master", name_of(link.master));
    writer->number("master_ifindex", link.master);
  }
}

// Those aspects of a state; the keys are the manual's.
void write_aspects(const char* key, const Aspects& aspects, const InterfaceState& state, const NameOf& name_of,
                   JsonWriter* writer) {
  const Link& link = state.link;
  writer->begin_object(key);
  if (aspects == Aspect::kAll) writer->text("kind", kind_text(link));
  if (aspects.has(Aspect::kName)) writer->text("ifname", link.name);
  if (aspects.has(Aspect::kUp)) writer->boolean("up", link.is_up());
  if (aspects.has(Aspect::kCarrier)) writer->boolean("carrier", state.has_link());
  if (aspects.has(Aspect::kFlags)) writer->texts("flags", interface_flag_names(link.flags));
  if (aspects.has(Aspect::kMtu)) writer->number("mtu", link.mtu);
  if (aspects.has(Aspect::kMac)) writer->text("mac", to_string(link.mac));
  if (aspects.has(Aspect::kMaster)) write_master(link, name_of, writer);
  write_media(aspects, state.media, writer);
  if (aspects.has(Aspect::kAddresses)) write_addresses(state.addresses, writer);
  if (aspects.has(Aspect::kAlias)) writer->text("alias", link.alias);
  if (aspects.has(Aspect::kAltnames)) writer->texts("altnames", link.altnames);
  writer->end_object();
}

std::string json_line(const LinkChange& change, const NameOf& name_of, int64_t time_us) {
  JsonWriter writer;
  writer.text("time", utc_time(time_us));
  writer.text("event", event_name(change.kind));
  if (change.kind == LinkChange::Kind::kResynchronised) return writer.take_line();
  writer.number("ifindex", change.state.link.index);
  writer.text("ifname", change.state.link.name);
  if (change.kind == LinkChange::Kind::kChanged) {
    write_aspects("now", change.aspects, change.state, name_of, &writer);
    write_aspects("was", change.aspects, change.before, name_of, &writer);
  } else if (change.kind != LinkChange::Kind::kRemoved) {
    write_aspects("now", Aspect::kAll, change.state, name_of, &writer);
  }
  return writer.take_line();
}

}  // namespace

std::string MonitorLines::change(const LinkChange& change, int64_t time_us) const {
  if (is_json_) return json_line(change, name_of_, time_us);
  return local_time(time_us) + text_line(change, name_of_) + "\n";
}

std::string MonitorLines::guest_link(std::string_view id, bool is_up, int64_t time_us) const {
  if (!is_json_) return local_time(time_us) + escape(id) + ": guest's link " + (is_up ? "up" : "down") + "\n";
  JsonWriter writer;
  writer.text("time", utc_time(time_us));
  writer.text("event", "guest-link");
  writer.text("id", id);
  writer.boolean("up", is_up);
  return writer.take_line();
}

std::string MonitorLines::guest_gone(std::string_view id, int64_t time_us) const {
  if (!is_json_) return local_time(time_us) + escape(id) + ": the virtual machine has gone\n";
  JsonWriter writer;
  writer.text("time", utc_time(time_us));
  writer.text("event", "guest-gone");
  writer.text("id", id);
  return writer.take_line();
}

}  // namespace tapferry
