// SPDX-License-Identifier: MIT
//
// What `tapferry doctor` looks for: a list of checks, each of which gives findings. A finding says what is wrong, with what,
// and what mends it, and knows how to mend it if --repair can. A check changes nothing that lasts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/rtnl.h"

namespace tapferry {

inline constexpr const char* kRepairCommand = "tapferry doctor --repair";

struct Finding {
  std::string object;   // "macvtap mv0"
  std::string problem;  // what is wrong with it, without a full stop
  std::string remedy;   // the command, or what else mends it
  // Mends it and says what was done ("deleted"); empty where only the administrator can. It looks at the object again before
  // it touches it. EBUSY: nothing is wrong with it after all, or not yet: it is in use.
  std::function<Result<std::string>()> repair;
  // It may be in order, which only `repair` can find out (EBUSY says so): no finding until then.
  bool is_suspicion = false;
};

struct Diagnosis {
  std::vector<Finding> findings;
  std::vector<std::string> notes;  // what could not be found out, and how to
};

struct Patient {
  Rtnl& rtnl;  // must outlive the findings
  bool is_to_be_repaired = false;
};

// A check's error says that it could not be made; the others are made all the same. doctor.cc has the list.
Status check_taps(const Patient& patient, Diagnosis* diagnosis);      // persistent, and left by their holders
Status check_macvtaps(const Patient& patient, Diagnosis* diagnosis);  // outlived their warden
Status check_nodes(const Patient& patient, Diagnosis* diagnosis);     // private device nodes of a killed warden

}  // namespace tapferry
