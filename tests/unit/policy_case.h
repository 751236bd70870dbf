// SPDX-License-Identifier: MIT
//
// The tables of the policy's tests: who asks what under which rules, and what becomes of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/parse.h"
#include "helper/policy.h"
#include "helper/policy_parse.h"
#include "net/spec.h"

namespace tapferry {

inline constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "alice:x:2001:2001::/home/alice:/bin/sh\n"
    "bob:x:2002:2002::/home/bob:/bin/sh\n"
    "bobby:x:2003:2003::/home/bobby:/bin/sh\n"
    "carol:x:2004:2004::/home/carol:/bin/sh\n"
    "mallory:x:2005:2103::/home/mallory:/bin/sh\n"
    "build:x:2006:2006::/:/bin/sh\n"
    "deploy:x:2006:2006::/:/bin/sh\n";

// jailed is mallory's by passwd and carol's by group; ghosts has a member whom only LDAP knows.
inline constexpr std::string_view kGroup =
    "root:x:0:\n"
    "alice:x:2001:\nbob:x:2002:\nbobby:x:2003:\ncarol:x:2004:\nbuild:x:2006:\n"
    "vms:x:2100:alice,bob\n"
    "vmsters:x:2101:bobby\n"
    "kvm:x:2102:alice,deploy\n"
    "jailed:x:2103:carol\n"
    "ghosts:x:2104:casper\n";

inline const Accounts& test_accounts() {
  static const Accounts accounts = parse_accounts(kPasswd, kGroup);
  return accounts;
}

// "alice" with all her groups; "alice-" who has shed them; "3000" or "3000:2100,9000" by numbers.
inline Caller test_caller(std::string_view who) {
  const Accounts& accounts = test_accounts();
  const size_t colon = who.find(':');
  if (const auto uid = parse_uint(who.substr(0, colon), 0, UINT32_MAX)) {
    std::vector<gid_t> groups;
    if (colon != std::string_view::npos) {
      for (const auto gid : split(who.substr(colon + 1), ',')) {
        groups.push_back(static_cast<gid_t>(parse_uint(gid, 0, UINT32_MAX).value()));
      }
    }
    const gid_t gid = groups.empty() ? static_cast<gid_t>(*uid) : groups[0];
    return describe_caller(static_cast<uid_t>(*uid), gid, groups, accounts);
  }
  const bool has_shed = who.ends_with('-');
  if (has_shed) who.remove_suffix(1);
  for (const User& user : accounts.users) {
    if (user.name != who) continue;
    if (has_shed) return describe_caller(user.uid, 65534, {}, accounts);
    const Caller in_database = describe_caller(user.uid, user.gid, {}, accounts);
    return describe_caller(user.uid, user.gid, in_database.database_groups, accounts);
  }
  ADD_FAILURE() << "no such caller: " << who;
  return {};
}

inline Policy test_policy(std::string_view text) {
  Policy policy;
  auto statements = parse_policy(text, "/etc/tapferry/policy.conf", "policy.conf");
  EXPECT_TRUE(statements.is_ok()) << statements.error().line() << "\nin\n" << text;
  if (!statements.is_ok()) return policy;
  for (const Statement& statement : statements.value()) {
    if (const Rule* rule = std::get_if<Rule>(&statement)) policy.rules.push_back(*rule);
  }
  return policy;
}

// "--br=BRIDGE" is QEMU's form, anything else a SPEC.
inline std::pair<Spec, RequestForm> test_request(std::string_view text) {
  Spec spec;
  RequestForm form;
  if (consume_prefix(&text, "--br=")) {
    spec.object = text;
    spec.vnet_hdr_sz = 10;
    form.is_br_form = true;
    return {spec, form};
  }
  auto parsed = parse_spec(text);
  EXPECT_TRUE(parsed.is_ok()) << parsed.error().line();
  if (parsed.is_ok()) spec = parsed.value();
  return {spec, form};
}

inline Verdict test_verdict(std::string_view policy, std::string_view who, std::string_view request) {
  const auto [spec, form] = test_request(request);
  return decide(test_policy(policy), test_accounts(), test_caller(who), spec, form);
}

struct PolicyCase {
  const char* policy;
  const char* who;
  const char* request;
  const char* expected;             // "allow LINE", "deny LINE" or "refuse"
  const char* effective = nullptr;  // the SPEC that is acted on, where the case is about that
};

inline std::string summary(const Verdict& verdict) {
  if (!verdict.rule) return "refuse";
  const std::string line = verdict.rule_label.substr(verdict.rule_label.find(':') + 1);
  return (verdict.is_allowed ? "allow " : "deny ") + line;
}

template <size_t N>
void check_cases(const PolicyCase (&cases)[N]) {
  for (const PolicyCase& one : cases) {
    SCOPED_TRACE(std::string(one.policy) + "\n" + one.who + " asks for " + one.request);
    const Verdict verdict = test_verdict(one.policy, one.who, one.request);
    EXPECT_EQ(summary(verdict), one.expected);
    EXPECT_EQ(verdict.is_allowed, std::string_view(one.expected).starts_with("allow"));
    if (one.effective) {
      EXPECT_EQ(to_string(verdict.effective), one.effective);
    }
  }
}

}  // namespace tapferry
