// SPDX-License-Identifier: MIT
//
// Macvtaps that outlived their warden. What is known about one and what follows from that is a pure function; the rest of
// the check is in doctor_macvtaps.cc.
#pragma once

namespace tapferry {

enum class Holder {
  kSeen,     // a process holds it
  kNone,     // no process of this host does, as far as /proc tells
  kUnknown,  // none that can be seen from here
};

struct MacvtapFacts {
  bool is_to_stay = false;  // granted with persist=on
  bool is_fresh = false;    // less than a minute old
  bool has_warden = false;  // one answers in this network namespace
  Holder holder = Holder::kUnknown;
};

enum class MacvtapState {
  kFine,
  kLeftOver,        // its holder is gone, and its warden didn't delete it
  kUnwatched,       // held, but nobody will delete it when it isn't any more
  kUnwatchedMaybe,  // the same, if anybody holds it at all
  kUnknown,         // fine if somebody holds it
};

// A fresh one may not have been opened yet, by a warden that answers.
MacvtapState judge(const MacvtapFacts& facts);

}  // namespace tapferry
