// SPDX-License-Identifier: MIT
#include "helper/wards.h"

#include "helper/kept.h"

namespace tapferry {

Status for_each_ward(Rtnl& rtnl, const std::function<void(const Link&)>& visit) {
  for (const char* kind : {"macvtap", "tun"}) {
    TRY(for_each_link(rtnl, kind, [&](const Link& link) {
      if (keep_by_tag(link)) visit(link);
    }));
  }
  return {};
}

}  // namespace tapferry
