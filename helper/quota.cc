// SPDX-License-Identifier: MIT
#include "helper/quota.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/parse.h"
#include "helper/privileged.h"
#include "helper/sweep.h"

namespace tapferry {
namespace {

// How many slots are tried one by one before the list of interfaces is read. A claim costs some 15 us, 70 at a
// thousand interfaces; reading the list some 9 for each of them.
constexpr unsigned kBlindTries = 16;
// Slots that were free in the list may be taken by the time they are claimed; then the list is read again.
constexpr int kListAttempts = 4;

// True: it is ours. False: taken.
Result<bool> try_slot(Rtnl& rtnl, const Link& tap, const Quota& quota, unsigned slot) {
  const Result<std::string> claimed = perform(rtnl, ClaimAltname{tap, slot_prefix(quota) + std::to_string(slot)});
  if (claimed.is_ok()) return true;
  if (claimed.error().code() == EEXIST) return false;
  return claimed.error();
}

// Starts where the interface's index says, since indexes are handed out one after the other: as long as slots are free in
// a row the first try hits, however many are taken.
Result<bool> try_some(Rtnl& rtnl, const Link& tap, const Quota& quota) {
  const unsigned first = static_cast<unsigned>(tap.index) % quota.max;
  for (unsigned i = 0; i < std::min(kBlindTries, quota.max); ++i) {
    if (TRY(try_slot(rtnl, tap, quota, (first + i) % quota.max))) return true;
  }
  return false;
}

Result<std::vector<bool>> taken_slots(Rtnl& rtnl, const std::string& kind, const Quota& quota) {
  std::vector<bool> taken(quota.max);
  const std::string prefix = slot_prefix(quota);
  TRY(for_each_link(rtnl, kind, [&](const Link& link) {
    for (std::string_view name : link.altnames) {
      if (!consume_prefix(&name, prefix)) continue;
      const auto slot = parse_uint(name, 0, quota.max - 1);
      if (slot) taken[*slot] = true;
    }
  }));
  return taken;
}

Result<bool> try_free_ones(Rtnl& rtnl, const Link& tap, const Quota& quota) {
  const std::vector<bool> taken = TRY(taken_slots(rtnl, tap.kind, quota));
  for (unsigned slot = 0; slot < quota.max; ++slot) {
    if (!taken[slot] && TRY(try_slot(rtnl, tap, quota, slot))) return true;
  }
  return false;
}

}  // namespace

std::string slot_prefix(const Quota& quota) {
  return "tapferry.u" + std::to_string(quota.uid) + "." + quota.rule_hash + ".";
}

Status claim_slot(Rtnl& rtnl, const Link& tap, const Quota& quota) {
  if (TRY(try_some(rtnl, tap, quota))) return {};
  TRY(sweep_all(rtnl));
  for (int attempt = 0; attempt < kListAttempts; ++attempt) {
    if (TRY(try_free_ones(rtnl, tap, quota))) return {};
  }
  const std::string max = "max=" + std::to_string(quota.max);
  return Error("get", "an interface",
               "uid " + std::to_string(quota.uid) + " has as many as the rule allows at once (" + max + ")")
      .with_hint("end a VM that has one, or ask the administrator for more");
}

}  // namespace tapferry
