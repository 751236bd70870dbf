// SPDX-License-Identifier: MIT
//
// The parts of `tapferry link`: which interface is meant, what there is to say of one, and changing it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/netdevice.h"
#include "tools/link_changes.h"

namespace tapferry {

struct LinkTarget {
  int index = 0;
  std::string name;  // its own
};

// By its name, by an altname, or, where nothing has such a name, by its index in digits.
Result<LinkTarget> find_link_target(const Netdevice& device, const std::string& which);

// A paragraph for each interface, or one JSON object. `which` is empty: all of them, without those that vanish meanwhile.
Result<std::string> show_links(const std::vector<std::string>& which, bool is_json);

// All of `changes`, in their order, or none: they are checked before the first is made, and if one fails those before it
// are undone. The error says which failed and what became of the others.
Status set_link(const std::string& which, const std::vector<Change>& changes);

}  // namespace tapferry
