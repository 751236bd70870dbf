// SPDX-License-Identifier: MIT
#include "net/grant.h"

#include "base/text.h"

namespace tapferry {
namespace {

std::string on_off(bool value) { return value ? "true" : "false"; }

}  // namespace

std::string to_json_line(const Grant& grant) {
  std::string line = "{\"version\":1";
  const auto add = [&](const char* key, const std::string& value) {
    line += ",\"";
    line += key;
    line += "\":" + value;
  };
  const auto quoted = [](std::string_view text) { return "\"" + json_escape(text) + "\""; };
  add("kind", quoted(kind_name(grant.kind)));
  add("ifname", quoted(grant.ifname));
  add("ifindex", std::to_string(grant.ifindex));
  add("upper", grant.upper.empty() ? "null" : quoted(grant.upper));
  add("queues", std::to_string(grant.queues));
  add("vhost", std::to_string(grant.vhost));
  add("vnet_hdr", on_off(grant.vnet_hdr));
  add("vnet_hdr_sz", std::to_string(grant.vnet_hdr_sz));
  add("mac", quoted(to_string(grant.mac)));
  add("mtu", std::to_string(grant.mtu));
  add("up", on_off(grant.up));
  add("rule", quoted(grant.rule));
  return line + "}\n";
}

}  // namespace tapferry
