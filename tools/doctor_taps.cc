// SPDX-License-Identifier: MIT
//
// Taps that their holders made persistent and left. A hand-over deletes those too, in its own time.

#include <cerrno>
#include <map>

#include "net/abandoned.h"
#include "net/link.h"
#include "net/tag.h"
#include "tools/doctor.h"

namespace tapferry {
namespace {

// The interface is looked at again by its index, which isn't used twice.
Result<std::string> delete_abandoned(Rtnl& rtnl, const Link& judged) {
  const auto now = get_link(rtnl, judged.index);
  if (!now.is_ok() && now.error().code() == ENODEV) return std::string("gone by itself");
  if (!now.is_ok()) return now.error();
  if (!is_abandoned(now.value()) || now.value().alias != judged.alias) {
    return Error::from_errno("delete", judged.name, EBUSY);
  }
  TRY(delete_link(rtnl, now.value()));
  return std::string("deleted");
}

}  // namespace

Status check_taps(const Patient& patient, Diagnosis* diagnosis) {
  std::map<int, Link> abandoned;
  TRY(for_each_link(patient.rtnl, "tun", [&](const Link& link) {
    if (is_abandoned(link)) abandoned[link.index] = link;
  }));
  for (const auto& [index, link] : abandoned) {
    Finding finding;
    finding.object = "tap " + link.name;
    if (const auto tag = parse_tag(link.alias)) finding.object += " of uid " + std::to_string(tag->uid);
    finding.problem = "its holder made it persistent and left it";
    finding.kind = finding::kLeftTap;
    finding.command = kRepairCommand;
    finding.repair = [&rtnl = patient.rtnl, link = link] { return delete_abandoned(rtnl, link); };
    diagnosis->findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tapferry
