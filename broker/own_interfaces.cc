// SPDX-License-Identifier: MIT
#include "broker/own_interfaces.h"

#include <map>

#include "net/link.h"
#include "net/rtnl.h"
#include "net/tag.h"

namespace tapferry {
namespace {

// The list goes into one reply.
constexpr size_t kMostListed = 2048;

void set_text(JsonObject* object, const char* name, const std::string& value) {
  if (value.empty()) {
    json_object_set_null_member(object, name);
    return;
  }
  g_autofree char* text = g_utf8_make_valid(value.data(), static_cast<gssize>(value.size()));
  json_object_set_string_member(object, name, text);
}

JsonObject* describe(const Link& link, const Tag& tag) {
  JsonObject* object = json_object_new();
  set_text(object, "ifname", link.name);
  json_object_set_int_member(object, "ifindex", link.index);
  set_text(object, "kind", std::string(kind_name(tag.kind)));
  set_text(object, "upper", tag.upper);
  json_object_set_int_member(object, "uid", tag.uid);
  json_object_set_int_member(object, "since", tag.since);
  json_object_set_boolean_member(object, "up", link.is_up() ? TRUE : FALSE);
  set_text(object, "rule", tag.rule.empty() ? "?" : tag.rule);
  return object;
}

}  // namespace

Result<JsonArray*> own_interfaces(uid_t uid) {
  Rtnl rtnl = TRY(Rtnl::open());
  // By index: the kernel may show one twice.
  std::map<int, std::pair<Link, Tag>> found;
  for (const char* kind : {"tun", "macvtap"}) {
    TRY(for_each_link(rtnl, kind, [&](const Link& link) {
      const auto tag = parse_tag(link.alias);
      if (tag && (uid == 0 || tag->uid == uid) && found.size() < kMostListed) {
        found.insert_or_assign(link.index, std::pair(link, *tag));
      }
    }));
  }
  JsonArray* interfaces = json_array_new();
  for (const auto& [index, one] : found) json_array_add_object_element(interfaces, describe(one.first, one.second));
  return interfaces;
}

}  // namespace tapferry
