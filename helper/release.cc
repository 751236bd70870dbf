// SPDX-License-Identifier: MIT
#include "helper/release.h"

#include <cerrno>

#include "net/spec.h"
#include "net/tag.h"

namespace tapferry {

namespace {

// Of what was given as a name: more than any name has.
constexpr size_t kMostShown = 64;

}  // namespace

bool may_release(const Link& link, uid_t uid) {
  const auto tag = parse_tag(link.alias);
  return link.kind == "tun" && tag && tag->persist && tag->uid == uid;
}

Result<Link> find_releasable(Rtnl& rtnl, const std::string& name, const Identity& caller) {
  if (is_interface_name(name)) {
    Result<Link> found = get_link(rtnl, name);
    if (found.is_ok() && may_release(found.value(), caller.uid)) return found;
    if (!found.is_ok() && found.error().code() != ENODEV) return found;
  }
  return Error("release", name.substr(0, kMostShown),
               "uid " + std::to_string(caller.uid) + " has no interface of that name with persist=on");
}

}  // namespace tapferry
