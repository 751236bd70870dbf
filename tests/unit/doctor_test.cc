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
  one.finding.kind = finding::kLeftTap;
  one.finding.object = object;
  one.finding.problem = "is wrong";
  one.finding.command = "mend it";
  return one;
}

TEST(DoctorReport, OfNothingSaysWhatWasLookedAt) {
  Report report;
  report.looked_at = {"helper", "taps"};
  EXPECT_EQ(report_text(report), "nothing is wrong; looked at: helper, taps\n");
  EXPECT_TRUE(report.is_well());
}

TEST(DoctorReport, SaysOfEachWhatMendsItWhatWasDoneOrWhyNot) {
  Report report;
  for (const char* object : {"tap a", "tap b", "tap c", "tap d", "tap e"}) {
    report.outcomes.push_back(outcome(object));
  }
  report.outcomes[1].done = "deleted";
  report.outcomes[2].error = Error::from_errno("delete", "c", EPERM);
  report.outcomes[3].error = Error::from_errno("open", "d", EBUSY);
  report.outcomes[4].finding.command = "";
  report.outcomes[4].finding.remedy = "a new one";
  report.notes.emplace_back("two\nlines");
  report.looked_at = {"taps"};
  EXPECT_EQ(report_text(report),
            "problem: tap a: is wrong\n"
            "    mend it\n"
            "tap b: deleted\n"
            "problem: tap c: is wrong; not mended: delete c: Operation not permitted\n"
            "problem: tap d: is wrong; not mended: something holds it that can't be seen here\n"
            "problem: tap e: is wrong; mended by: a new one\n"
            "note: two\\nlines\n"
            "4 problems, to be mended from the top: one can hide another\n");
}

TEST(DoctorReport, CommandsAreForAShellAndNotForTheTerminal) {
  Report report;
  report.outcomes.push_back(outcome("tap a"));
  report.outcomes[0].finding.command = "sed 's|\\(a\\)|b|'";
  report.outcomes[0].finding.remedy = "words";
  EXPECT_NE(report_text(report).find("\n    sed 's|\\(a\\)|b|'\n    (words)\n"), std::string::npos);
  report.outcomes[0].finding.command = "echo \x1b[2J";
  EXPECT_NE(report_text(report).find("\n    echo \\x1b[2J\n"), std::string::npos);
}

TEST(DoctorReport, IsWellWithWarningsAndNotes) {
  Report report;
  report.outcomes.push_back(outcome("tap a"));
  report.outcomes.push_back(outcome("tap b"));
  report.outcomes[0].finding.kind = finding::kNetfilterMayDrop;
  report.outcomes[1].finding.kind = finding::kTunMode;
  report.looked_at = {"taps"};
  EXPECT_TRUE(report.is_well());
  EXPECT_EQ(report_text(report),
            "warning: tap a: is wrong\n"
            "    mend it\n"
            "note: tap b: is wrong\n"
            "    mend it\n"
            "no problem, 1 warning; looked at: taps\n");
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
      "{\"version\":1,\"well\":false,\"looked_at\":[],\"findings\":[{\"id\":\"left-tap\",\"severity\":\"problem\","
      "\"check\":\"taps\",\"object\":\"tap a\",\"problem\":\"is wrong\",\"command\":\"mend it\","
      "\"remedy\":\"mend it\",\"repairable\":false,\"repaired\":true,\"done\":\"deleted\",\"error\":null}],"
      "\"notes\":[],\"errors\":[\"list the interfaces: no\"]}\n");
}

TEST(DoctorRules, AreReadAndAnythingElseIsAnError) {
  const std::string rule =
      R"({"rule":"p:1","text":"allow bridge=br* vhost=on","file":"/p","line":1,"verb":"allow","kind":"bridge",)"
      R"("object":"br*","applies":true,"why":null,"new_login":null})";
  const auto json = [&](const std::string& error, const std::string& rules) {
    return R"({"version":1,"policy":"/p","user":null,"uid":7,"error":)" + error + R"(,"rules":[)" + rules +
           R"(],"skipped":["/s"]})";
  };
  const auto read = read_rules(json("null", rule));
  ASSERT_TRUE(read.is_ok());
  const PolicyView& view = read.value();
  EXPECT_EQ(view.who(), "7");
  EXPECT_EQ(view.skipped, std::vector<std::string>{"/s"});
  ASSERT_EQ(view.rules.size(), 1u);
  EXPECT_TRUE(view.rules[0].is_allow && view.rules[0].applies && !view.rules[0].is_literal());
  EXPECT_TRUE(view.rules[0].has("vhost=on"));
  EXPECT_FALSE(view.rules[0].has("host=on"));
  const auto failed = read_rules(json(R"({"where":"/p:2","reason":"bad","hint":null})", ""));
  ASSERT_TRUE(failed.is_ok());
  EXPECT_EQ(failed.value().error->where, "/p:2");
  for (const std::string& wrong :
       {std::string(), std::string("x"), std::string("[]"), std::string(R"({"version":2})"), json("7", ""),
        json("null", "7"), json("null", R"({"rule":1})"), json("null", rule) + "x", std::string("\xff")}) {
    EXPECT_FALSE(read_rules(wrong).is_ok()) << wrong;
  }
}

}  // namespace
}  // namespace tapferry
