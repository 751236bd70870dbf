// SPDX-License-Identifier: MIT
#include "helper/granted.h"

#include <cerrno>

#include "net/macvtap.h"
#include "net/spec.h"
#include "net/tag.h"

namespace tapferry {

namespace {

// Of what was given as a name: more than any name has.
constexpr size_t kMostShown = 64;

Result<Link> find(Rtnl& rtnl, const std::string& name, const Identity& caller, bool (*may)(const Link&, uid_t),
                  const char* action, const char* words) {
  if (is_interface_name(name)) {
    Result<Link> found = get_link(rtnl, name);
    if (found.is_ok() && may(found.value(), caller.uid)) return found;
    if (!found.is_ok() && found.error().code() != ENODEV) return found;
  }
  return Error(action, name.substr(0, kMostShown), "uid " + std::to_string(caller.uid) + " " + words);
}

}  // namespace

bool may_release(const Link& link, uid_t uid) {
  const auto tag = parse_tag(link.alias);
  return (link.kind == "tun" || link.kind == "macvtap") && tag && tag->persist && tag->uid == uid;
}

bool may_bring_up(const Link& link, uid_t uid) {
  const auto tag = parse_tag(link.alias);
  return (link.kind == "tun" || has_tap_device(link.kind)) && tag && tag->uid == uid && !tag->stays_down;
}

Result<Link> find_releasable(Rtnl& rtnl, const std::string& name, const Identity& caller) {
  return find(rtnl, name, caller, may_release, "release", "has no interface of that name with persist=on");
}

Result<Link> find_to_bring_up(Rtnl& rtnl, const std::string& name, const Identity& caller) {
  return find(rtnl, name, caller, may_bring_up, "bring up", "has no interface of that name, or its rule has up=off");
}

}  // namespace tapferry
