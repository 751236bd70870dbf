// SPDX-License-Identifier: MIT
#include "net/abandoned.h"

#include "net/tag.h"

namespace tapferry {

bool is_abandoned(const Link& link) {
  if (link.kind != "tun" || !link.is_persistent_tap || link.has_carrier) return false;
  const auto tag = parse_tag(link.alias);
  return tag && !tag->persist;
}

}  // namespace tapferry
