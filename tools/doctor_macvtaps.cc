// SPDX-License-Identifier: MIT
#include "tools/doctor_macvtaps.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <map>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include "base/syscall.h"
#include "net/link.h"
#include "net/macvtap_claim.h"
#include "net/tag.h"
#include "net/warden_names.h"
#include "tools/doctor.h"
#include "tools/doctor_holders.h"
#include "tools/private_node.h"

namespace tapferry {
namespace {

constexpr int64_t kFreshForS = 60;
// A hand-over opens what it has made within milliseconds, and a warden deletes as quickly what was closed.
constexpr std::chrono::milliseconds kBetweenLooks{300};

// Anybody can listen under the name, so that it answers proves nothing; it only makes a repair more patient.
bool has_warden() {
  const Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, kWardenName.data(), kWardenName.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kWardenName.size());
  // EAGAIN: so many are connecting at once that it hasn't accepted all of them yet.
  return socket.is_open() &&
         (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0 || errno == EAGAIN);
}

struct OurMacvtap {
  Link link;
  Tag tag;
  MacvtapState state = MacvtapState::kFine;
};

Result<std::map<int, OurMacvtap>> list_ours(Rtnl& rtnl) {
  std::map<int, OurMacvtap> ours;
  TRY(for_each_link(rtnl, "macvtap", [&](const Link& link) {
    const auto tag = parse_tag(link.alias);
    if (tag && tag->kind == Kind::kMacvtap) ours[link.index] = {link, *tag};
  }));
  return ours;
}

Holder find_holder(const Link& link, const OpenDevices& open) {
  const auto device = macvtap_device(link);
  if (device.is_ok() && open.devices.contains(device.value())) return Holder::kSeen;
  return device.is_ok() && open.is_complete ? Holder::kNone : Holder::kUnknown;
}

// Only those of which something may be wrong. The list is older than what is asked then: what was made since isn't judged.
Result<std::map<int, OurMacvtap>> look(Rtnl& rtnl) {
  std::map<int, OurMacvtap> ours = TRY(list_ours(rtnl));
  if (ours.empty()) return ours;
  const OpenDevices open = find_open_devices();
  MacvtapFacts facts;
  facts.has_warden = has_warden();
  const int64_t now = time(nullptr);
  for (auto& [index, macvtap] : ours) {
    facts.is_to_stay = macvtap.tag.persist;
    facts.is_fresh = macvtap.tag.since <= now && now - macvtap.tag.since < kFreshForS;
    facts.holder = find_holder(macvtap.link, open);
    macvtap.state = judge(facts);
  }
  std::erase_if(ours, [](const auto& entry) { return entry.second.state == MacvtapState::kFine; });
  return ours;
}

// Those of which something may be wrong at two looks. What is just being made or deleted looks wrong once.
Result<std::map<int, OurMacvtap>> look_twice(Rtnl& rtnl) {
  const auto first = TRY(look(rtnl));
  if (first.empty()) return first;
  std::this_thread::sleep_for(kBetweenLooks);
  auto second = TRY(look(rtnl));
  std::erase_if(second, [&](const auto& entry) { return !first.contains(entry.first); });
  return second;
}

// Of the interface as it was when it was judged, which is looked at again by its index: those aren't used twice.
Result<std::string> delete_unheld(Rtnl& rtnl, const Link& judged) {
  const auto now = get_link(rtnl, judged.index);
  if (!now.is_ok() && now.error().code() == ENODEV) return std::string("gone by itself");
  if (!now.is_ok()) return now.error();
  if (now.value().kind != "macvtap" || now.value().alias != judged.alias) {
    return Error("delete", judged.name, "somebody has changed it meanwhile");
  }
  const dev_t device = TRY(macvtap_device(now.value()));
  const PrivateNode node = TRY(PrivateNode::make(device));
  const MacvtapClaim claim = TRY(MacvtapClaim::take(now.value(), node.path()));
  if (claim.held_by_others() > 0) return Error::from_errno("open", now.value().name, EBUSY);
  TRY(delete_link(rtnl, now.value()));
  return std::string("deleted");
}

const char* problem_of(MacvtapState state) {
  switch (state) {
    case MacvtapState::kLeftOver: return "left behind by a warden that was killed: no process holds it";
    case MacvtapState::kUnwatched: return "its warden was killed: it will stay when its holder is gone";
    case MacvtapState::kUnwatchedMaybe: return "its warden was killed, and no process that can be seen here holds it";
    default: return "no process that can be seen here holds it";
  }
}

Finding to_finding(Rtnl& rtnl, const OurMacvtap& macvtap) {
  Finding finding;
  finding.object = "macvtap " + macvtap.link.name + " of uid " + std::to_string(macvtap.tag.uid);
  finding.problem = problem_of(macvtap.state);
  finding.is_suspicion = macvtap.state == MacvtapState::kUnknown;
  if (macvtap.state == MacvtapState::kUnwatched) {
    finding.kind = finding::kUnwatchedMacvtap;
    finding.remedy = std::string(kRepairCommand) + ", when its holder is gone";
    return finding;
  }
  finding.kind = finding::kLeftMacvtap;
  finding.command = kRepairCommand;
  finding.repair = [&rtnl, link = macvtap.link] { return delete_unheld(rtnl, link); };
  return finding;
}

}  // namespace

MacvtapState judge(const MacvtapFacts& facts) {
  if (facts.is_to_stay) return MacvtapState::kFine;
  if (facts.has_warden) {
    if (facts.is_fresh || facts.holder == Holder::kSeen) return MacvtapState::kFine;
    return facts.holder == Holder::kNone ? MacvtapState::kLeftOver : MacvtapState::kUnknown;
  }
  switch (facts.holder) {
    case Holder::kSeen: return MacvtapState::kUnwatched;
    case Holder::kNone: return MacvtapState::kLeftOver;
    case Holder::kUnknown: break;
  }
  return MacvtapState::kUnwatchedMaybe;
}

Status check_macvtaps(const Patient& patient, Diagnosis* diagnosis) {
  size_t unknown = 0;
  const auto macvtaps = TRY(look_twice(patient.rtnl));
  for (const auto& [index, macvtap] : macvtaps) {
    const bool is_unknown = macvtap.state == MacvtapState::kUnknown;
    if (is_unknown) ++unknown;
    if (!is_unknown || patient.is_to_be_repaired) diagnosis->findings.push_back(to_finding(patient.rtnl, macvtap));
  }
  if (unknown > 0 && !patient.is_to_be_repaired) {
    diagnosis->notes.push_back("whether anybody holds " + std::to_string(unknown) +
                               " of the macvtaps can't be seen from here; " + kRepairCommand +
                               " finds out, and leaves those alone that are held");
  }
  return {};
}

}  // namespace tapferry
