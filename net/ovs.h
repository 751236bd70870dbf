// SPDX-License-Identifier: MIT
//
// Open vSwitch's side of bridge=ovs:BR: which names it may be told, what marks a port there as tapferry's, and the three
// things that ovs-vsctl(8) is asked for: the ports of ours that there are, a new one, and one's end. No I/O here; ovs_vsctl.h
// runs it.
//
// Every word that gets onto ovs-vsctl's command line is made of letters, digits and a few signs that mean nothing to it
// (is_ovs_word), so none can be an option, another command or part of a condition.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/link.h"
#include "net/mac.h"

namespace tapferry {

// Before the name of a bridge that is Open vSwitch's: no Linux bridge's name can begin so, since it has a colon.
inline constexpr std::string_view kOvsPrefix = "ovs:";
// A name of OVN's for a logical port; Neutron's and libvirt's are UUIDs.
inline constexpr size_t kMaxIfaceId = 128;

// The bridge of "ovs:br-int"; nothing of any other object.
std::optional<std::string_view> ovs_bridge(std::string_view object);

// 1 to `most` letters, digits, and . _ : -, the first of them a letter or digit.
bool is_ovs_word(std::string_view text, size_t most);
// The name of an interface that Open vSwitch is told: an interface's, without the colon too.
bool is_ovs_interface_name(std::string_view name);

// What a port's external_ids:tapferry says: by which interface it is, so that a port of an earlier one of the same name,
// which nobody removed, can be told apart.
struct OvsTag {
  std::string bridge;
  int ifindex = 0;
  int64_t since = 0;  // of the interface's own tag (net/tag.h)
  uint32_t uid = 0;

  bool operator==(const OvsTag&) const = default;
};

// "bridge=br-int;ifindex=31;since=1767225600;uid=1000"
std::string to_string(const OvsTag& tag);
std::optional<OvsTag> parse_ovs_tag(std::string_view text);

// A port of ours, as Open vSwitch has it.
struct OvsPort {
  std::string uuid;
  std::string name;
  OvsTag tag;
};

// Whether the interface by which the port was made is gone. `link` is what has the port's name now, if anything has.
bool is_left_behind(const OvsPort& port, const std::optional<Link>& link);

// The bridge's own interface, as Open vSwitch knows it.
struct OvsLocalPort {
  int ifindex = 0;
  Mac mac;
};

struct NewOvsPort {
  std::string name;
  OvsTag tag;
  std::optional<std::string> iface_id;
};

// Arguments of ovs-vsctl, and what it prints in answer.
std::vector<std::string> arguments_to_find_local_port(const std::string& bridge);
std::optional<OvsLocalPort> read_local_port(std::string_view output);

std::vector<std::string> arguments_to_list_ports();
// Ports of others that only look like ours are passed over.
std::vector<OvsPort> read_ports(std::string_view output);

// The interfaces that have it, by their names.
std::vector<std::string> arguments_to_find_iface_id(const std::string& iface_id);
std::vector<std::string> read_names(std::string_view output);

// Adds the port and removes `left_behind`, all at once or not at all.
std::vector<std::string> arguments_to_add(const NewOvsPort& port, const std::vector<OvsPort>& left_behind);

// Returns when ovs-vswitchd has taken this very interface up; what is wrong with it otherwise.
std::vector<std::string> arguments_to_wait_for(const std::string& name, int ifindex);
std::vector<std::string> arguments_to_get_error(const std::string& name);

// By its UUID, so never another port that got the same name since; that it is gone already is no error.
std::vector<std::string> arguments_to_remove(const OvsPort& port);

}  // namespace tapferry
