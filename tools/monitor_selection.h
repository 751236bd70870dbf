// SPDX-License-Identifier: MIT
//
// Whom `tapferry monitor` follows, and when that is over. Does no I/O.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/link_monitor_table.h"

namespace tapferry {

// All interfaces; or some, each by the name that it has when it is first seen, and from then on by its index, whatever it is
// called later and whoever gets its name.
class Selection {
 public:
  // No names: all interfaces. `waits`: a name that nobody has, or nobody has any more, is waited for.
  Selection(std::vector<std::string> names, bool waits);

  // The change as it is to be told: nothing for an interface that isn't followed; that one was added, when another has just
  // been given a name that was waited for.
  std::optional<LinkChange> select(const LinkChange& change);

  // Whether this one is followed, or would be from its next change on.
  bool wants(const Link& link) const;
  // The first of the names that no interface had so far.
  const std::string* missing() const;
  // All that was to be followed is gone.
  bool is_over() const;

 private:
  std::optional<size_t> waiting_for(const std::string& name) const;

  struct Followed {
    std::string name;
    int ifindex = 0;  // 0: none
    bool is_gone = false;
  };
  std::vector<Followed> followed_;
  bool waits_;
};

// What --exit-on= lists.
class ExitConditions {
 public:
  // "down,removed"; the error has all the words.
  static Result<ExitConditions> parse(std::string_view list);

  bool is_empty() const { return bits_ == 0; }
  // Whether one holds after the change. What an interface is counts, not what it has just become, so that nothing that has
  // happened already is waited for.
  bool is_met_by(const LinkChange& change) const;

 private:
  unsigned bits_ = 0;
};

}  // namespace tapferry
