// SPDX-License-Identifier: MIT
#include "broker/own_interfaces.h"

#include <map>
#include <nlohmann/json.hpp>

#include "net/link.h"
#include "net/rtnl.h"
#include "net/tag.h"

namespace tapferry {
namespace {

// The list goes into one reply.
constexpr size_t kMostListed = 2048;

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json describe(const Link& link, const Tag& tag) {
  return {{"ifname", link.name},
          {"ifindex", link.index},
          {"kind", kind_name(tag.kind)},
          {"upper", text_or_null(tag.upper)},
          {"uid", tag.uid},
          {"since", tag.since},
          {"up", link.is_up()},
          {"rule", tag.rule.empty() ? "?" : tag.rule}};
}

}  // namespace

Result<Json> own_interfaces(uid_t uid) {
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
  Json interfaces = Json::array();
  for (const auto& [index, one] : found) interfaces.push_back(describe(one.first, one.second));
  return interfaces;
}

}  // namespace tapferry
