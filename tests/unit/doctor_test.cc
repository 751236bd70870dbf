// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "net/abandoned.h"
#include "tools/doctor_holders.h"
#include "tools/doctor_macvtaps.h"
#include "tools/doctor_report.h"

namespace tapferry {
namespace {

MacvtapState judge(bool has_warden, bool is_fresh, Holder holder) {
  return judge(MacvtapFacts{false, is_fresh, has_warden, holder});
}

TEST(DoctorJudges, WithAWardenOnlyWhatNobodyHoldsForLongIsLeftOver) {
  EXPECT_EQ(judge(true, false, Holder::kSeen), MacvtapState::kFine);
  EXPECT_EQ(judge(true, true, Holder::kNone), MacvtapState::kFine);
  EXPECT_EQ(judge(true, true, Holder::kUnknown), MacvtapState::kFine);
  EXPECT_EQ(judge(true, false, Holder::kNone), MacvtapState::kLeftOver);
  EXPECT_EQ(judge(true, false, Holder::kUnknown), MacvtapState::kUnknown);
}

TEST(DoctorJudges, WithoutAWardenNothingIsInOrder) {
  for (const bool is_fresh : {false, true}) {
    EXPECT_EQ(judge(false, is_fresh, Holder::kSeen), MacvtapState::kUnwatched);
    EXPECT_EQ(judge(false, is_fresh, Holder::kNone), MacvtapState::kLeftOver);
    EXPECT_EQ(judge(false, is_fresh, Holder::kUnknown), MacvtapState::kUnwatchedMaybe);
  }
}

TEST(DoctorJudges, WhatWasGrantedToStayMayStay) {
  for (const Holder holder : {Holder::kSeen, Holder::kNone, Holder::kUnknown}) {
    EXPECT_EQ(judge(MacvtapFacts{true, false, false, holder}), MacvtapState::kFine);
  }
}

TEST(DoctorSees, WhatThisProcessHasOpen) {
  struct stat status = {};
  ASSERT_EQ(stat("/dev/full", &status), 0);
  EXPECT_FALSE(find_open_devices().devices.contains(status.st_rdev));
  const Fd fd(open("/dev/full", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(find_open_devices().devices.contains(status.st_rdev));
}

TEST(DoctorSees, NothingForCertainWithoutProc) {
  const OpenDevices open = find_open_devices("/dev/null");
  EXPECT_TRUE(open.devices.empty());
  EXPECT_FALSE(open.is_complete);
}

Link abandoned_tap() {
  Link link;
  link.kind = "tun";
  link.is_persistent_tap = true;
  link.alias = "tapferry uid=1000 kind=bridge since=1 rule=policy.conf:1";
  return link;
}

TEST(AbandonedTap, IsOursPersistentAndUnheld) {
  EXPECT_TRUE(is_abandoned(abandoned_tap()));
  const auto is_abandoned_with = [](auto change) {
    Link link = abandoned_tap();
    change(&link);
    return is_abandoned(link);
  };
  EXPECT_FALSE(is_abandoned_with([](Link* link) { link->kind = "macvtap"; }));
  EXPECT_FALSE(is_abandoned_with([](Link* link) { link->is_persistent_tap = false; }));
  EXPECT_FALSE(is_abandoned_with([](Link* link) { link->has_carrier = true; }));
  EXPECT_FALSE(is_abandoned_with([](Link* link) { link->alias = "an administrator's"; }));
  EXPECT_FALSE(
      is_abandoned_with([](Link* link) { link->alias = "tapferry uid=1000 kind=bridge persist=on rule=a:1"; }));
}

Outcome outcome(const std::string& object) {
  Outcome one;
  one.check = "taps";
  one.finding.object = object;
  one.finding.problem = "is wrong";
  one.finding.remedy = "mend it";
  return one;
}

TEST(DoctorReport, OfNothingIsOneLine) {
  EXPECT_EQ(report_text(Report()), "nothing is wrong\n");
  EXPECT_TRUE(Report().is_well());
}

TEST(DoctorReport, SaysOfEachWhatMendsItWhatWasDoneOrWhyNot) {
  Report report;
  for (const char* object : {"tap a", "tap b", "tap c", "tap d"}) report.outcomes.push_back(outcome(object));
  report.outcomes[1].done = "deleted";
  report.outcomes[2].error = Error::from_errno("delete", "c", EPERM);
  report.outcomes[3].error = Error::from_errno("open", "d", EBUSY);
  report.notes.emplace_back("two\nlines");
  EXPECT_EQ(report_text(report),
            "tap a: is wrong; mended by: mend it\n"
            "tap b: deleted\n"
            "tap c: is wrong; not mended: delete c: Operation not permitted\n"
            "tap d: is wrong; not mended: something holds it that can't be seen here\n"
            "note: two\\nlines\n");
}

TEST(DoctorReport, IsWellOnlyWhenAllIsMendedAndEveryCheckWasMade) {
  Report report;
  report.outcomes.push_back(outcome("tap a"));
  EXPECT_FALSE(report.is_well());
  report.outcomes[0].done = "deleted";
  EXPECT_TRUE(report.is_well());
  report.errors.push_back(Error("list", "the interfaces", "no"));
  EXPECT_FALSE(report.is_well());
  EXPECT_EQ(
      report_json(report),
      "{\"version\":1,\"well\":false,\"findings\":[{\"check\":\"taps\",\"object\":\"tap a\",\"problem\":\"is wrong\","
      "\"remedy\":\"mend it\",\"repairable\":false,\"repaired\":true,\"done\":\"deleted\",\"error\":null}],"
      "\"notes\":[],\"errors\":[\"list the interfaces: no\"]}\n");
}

}  // namespace
}  // namespace tapferry
