// SPDX-License-Identifier: MIT
//
// Who may have what: objects, users and groups, and which rule decides.
#include "helper/policy.h"

#include "helper/policy_explain.h"
#include "policy_case.h"

namespace tapferry {
namespace {

TEST(Policy, ObjectsMatchWholeNamesOrPrefixes) {
  static constexpr PolicyCase kCases[] = {
      {"", "alice", "bridge=br0", "refuse"},
      {"# allow br0", "alice", "bridge=br0", "refuse"},
      {"allow br0", "alice", "bridge=br0", "allow 1"},
      {"allow br0", "alice", "--br=br0", "allow 1"},
      {"allow br0", "alice", "bridge=br1", "refuse"},
      {"allow br0", "alice", "bridge=br00", "refuse"},
      {"allow br00", "alice", "bridge=br0", "refuse"},
      {"allow br0", "alice", "bridge=BR0", "refuse"},
      {"allow br0", "alice", "tap=br0", "refuse"},
      {"allow br0", "alice", "macvtap=br0", "refuse"},
      {"allow br0", "alice", "device=br0", "refuse"},
      {"allow all", "alice", "bridge=anything", "allow 1"},
      {"allow all", "alice", "tap=anything", "refuse"},
      {"allow all", "alice", "macvtap=eth0", "refuse"},
      {"allow all", "alice", "tap", "refuse"},
      {"allow bridge=all", "alice", "bridge=all", "allow 1"},
      {"allow bridge=all", "alice", "bridge=br0", "refuse"},
      {"allow bridge=br0", "alice", "bridge=br0", "allow 1"},
      {"allow bridge=br*", "alice", "bridge=br", "allow 1"},
      {"allow bridge=br*", "alice", "bridge=br7", "allow 1"},
      {"allow bridge=br*", "alice", "bridge=xbr7", "refuse"},
      {"allow bridge=*", "alice", "bridge=br7", "allow 1"},
      {"allow bridge=abcdefghijklmno", "alice", "bridge=abcdefghijklmno", "allow 1"},
      {"allow bridge=abcdefghijklmno*", "alice", "bridge=abcdefghijklmno", "allow 1"},
      {"allow tap=vm-1", "alice", "tap=vm-1", "allow 1"},
      {"allow tap=vm-1", "alice", "tap", "refuse"},
      {"allow tap=vm-*", "alice", "tap=vm-22", "allow 1"},
      {"allow tap=vm-*", "alice", "tap", "refuse"},
      {"allow tap=vm-*", "alice", "tap=vm", "refuse"},
      {"allow tap=*", "alice", "tap", "allow 1"},
      {"allow tap=*", "alice", "tap=x", "allow 1"},
      {"allow macvtap=eth0", "alice", "macvtap=eth0", "allow 1"},
      {"allow macvtap=eth*", "alice", "macvtap=eth12", "allow 1"},
      {"allow macvtap=eth0", "alice", "bridge=eth0", "refuse"},
      {"allow device=macvtap0", "alice", "device=macvtap0", "allow 1"},
      {"allow device=7", "alice", "device=7", "allow 1"},
      {"allow device=7", "alice", "device=/dev/tap7", "refuse"},
      {"allow device=/dev/tap*", "alice", "device=/dev/tap7", "allow 1"},
      {"allow device=/dev/tap*", "alice", "device=/dev/tap/../sda", "refuse"},
      {"allow device=*", "alice", "device=/dev//tap7", "refuse"},
      {"allow device=*", "alice", "device=/dev/./tap7", "refuse"},
      {"allow device=*", "alice", "device=/dev/tap7", "allow 1"},
  };
  check_cases(kCases);
}

TEST(Policy, AnyDenyWinsAndTheFirstAllowThatFitsDecides) {
  static constexpr PolicyCase kCases[] = {
      {"deny br0\nallow br0", "alice", "bridge=br0", "deny 1"},
      {"allow br0\ndeny br0", "alice", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br1", "alice", "bridge=br0", "allow 1"},
      {"allow br0\ndeny all", "alice", "bridge=br0", "deny 2"},
      {"deny all\nallow br0", "alice", "bridge=br0", "deny 1"},
      {"allow tap=*\ndeny all", "alice", "tap", "allow 1"},
      {"allow tap=*\ndeny *", "alice", "tap", "deny 2"},
      {"allow macvtap=eth0\ndeny *", "alice", "macvtap=eth0", "deny 2"},
      {"allow device=7\ndeny *", "alice", "device=7", "deny 2"},
      {"allow all\ndeny bridge=br*", "alice", "bridge=br7", "deny 2"},
      {"allow all\ndeny bridge=br*", "alice", "bridge=lan", "allow 1"},
      {"deny br0\ndeny br0", "alice", "bridge=br0", "deny 1"},
      {"deny br0", "alice", "bridge=br0", "deny 1"},
      {"allow br0\nallow br0", "alice", "bridge=br0", "allow 1"},
      {"allow br1\n\n# x\nallow br0", "alice", "bridge=br0", "allow 4"},
      {"allow bridge=br0\nallow bridge=br0 queues=2", "alice", "bridge=br0,queues=2", "allow 2"},
      {"allow bridge=br0 queues=2\nallow bridge=br0 queues=4", "alice", "bridge=br0", "allow 1"},
      {"allow br0\nallow bridge=br0 mtu=9000", "alice", "bridge=br0,mtu=9000", "allow 2"},
      {"allow bridge=br0 lock=on guest_mac=*\nallow br0", "alice", "--br=br0", "allow 2"},
      // A tap has two ways to get its name.
      {"allow tap=* name=*\ndeny tap=vm-1", "alice", "tap=vm-1", "deny 2"},
      {"allow tap=* name=*\ndeny tap=vm-1", "alice", "tap,name=vm-1", "deny 2"},
      {"allow tap=* name=*\ndeny tap=vm-1", "alice", "tap,name=vm-2", "allow 1"},
      {"allow tap=* name=*\ndeny tap=vm-1", "alice", "tap,name=vm-%d", "deny 2"},
      {"allow tap=* name=*\ndeny tap=vm-1", "alice", "tap,name=%d", "allow 1"},
      {"allow tap=* name=*\ndeny tap=vm-1*", "alice", "tap,name=vm-%d", "deny 2"},
      {"allow tap=* name=*\ndeny tap=vm-*", "alice", "tap,name=vm-x%d", "deny 2"},
      {"allow tap=* name=*\ndeny tap=vm-*", "alice", "tap,name=lan%d", "allow 1"},
      {"allow tap=* name=*\ndeny tap=vm-*", "alice", "tap", "allow 1"},
      {"allow tap=* name=*\ndeny tap=*", "alice", "tap", "deny 2"},
  };
  check_cases(kCases);
}

TEST(Policy, UsersAreWholeNamesOrIds) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0 user=alice", "alice", "bridge=br0", "allow 1"},
      {"allow br0 user=alice", "bob", "bridge=br0", "refuse"},
      {"allow br0 user=bob", "bobby", "bridge=br0", "refuse"},
      {"allow br0 user=bobby", "bob", "bridge=br0", "refuse"},
      {"allow all\ndeny br0 user=bob", "bobby", "bridge=br0", "allow 1"},
      {"allow all\ndeny br0 user=bobby", "bob", "bridge=br0", "allow 1"},
      {"allow br0 user=alice,bob", "bob", "bridge=br0", "allow 1"},
      {"allow br0 user=alice,bob", "carol", "bridge=br0", "refuse"},
      {"allow br0 user=2001", "alice", "bridge=br0", "allow 1"},
      {"allow br0 user=200", "alice", "bridge=br0", "refuse"},
      {"allow br0 user=20011", "alice", "bridge=br0", "refuse"},
      {"allow br0 user=0", "root", "bridge=br0", "allow 1"},
      {"allow br0 user=0", "alice", "bridge=br0", "refuse"},
      {"allow br0 user=3000", "3000", "bridge=br0", "allow 1"},
      {"allow br0 user=Alice", "alice", "bridge=br0", "refuse"},
      // Two names of one uid are one user.
      {"allow br0 user=build", "build", "bridge=br0", "allow 1"},
      {"allow br0 user=deploy", "build", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 user=deploy", "build", "bridge=br0", "deny 2"},
      // Whom the database doesn't know, no allow by name can mean; a deny by a name that it doesn't
      // know may mean him.
      {"allow br0 user=casper", "3000", "bridge=br0", "refuse"},
      {"allow br0 user=alice", "3000", "bridge=br0", "refuse"},
      {"allow br0\ndeny br0 user=casper", "3000", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 user=casper", "alice", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 user=alice", "3000", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 user=3001", "3000", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 user=3000", "3000", "bridge=br0", "deny 2"},
      {"allow br0\ndeny * user=mallory", "mallory", "bridge=br0", "deny 2"},
      {"allow br0\ndeny * user=mallory", "alice", "bridge=br0", "allow 1"},
  };
  check_cases(kCases);
}

TEST(Policy, GroupsOfAnAllowAreTheKernelsThoseOfADenyTheDatabasesToo) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0 group=vms", "alice", "bridge=br0", "allow 1"},
      {"allow br0 group=vms", "bobby", "bridge=br0", "refuse"},
      {"allow br0 group=vmsters", "alice", "bridge=br0", "refuse"},
      {"allow br0 group=vms", "alice-", "bridge=br0", "refuse"},
      {"allow br0 group=2100", "alice", "bridge=br0", "allow 1"},
      {"allow br0 group=2100", "3000:2100", "bridge=br0", "allow 1"},
      {"allow br0 group=210", "alice", "bridge=br0", "refuse"},
      {"allow br0 group=alice", "alice", "bridge=br0", "allow 1"},
      {"allow br0 group=vmsters,vms", "bob", "bridge=br0", "allow 1"},
      {"allow br0 group=kvm", "build", "bridge=br0", "allow 1"},
      {"allow br0 group=nosuch", "alice", "bridge=br0", "refuse"},
      {"allow br0 group=nosuch", "3000:9000", "bridge=br0", "refuse"},
      {"allow br0 user=alice group=vms", "alice", "bridge=br0", "allow 1"},
      {"allow br0 user=alice group=vms", "bob", "bridge=br0", "refuse"},
      {"allow br0 user=carol group=vms", "carol", "bridge=br0", "refuse"},
      {"allow br0 user=carol,bob group=vmsters,vms", "bob", "bridge=br0", "allow 1"},
      // CVE-2018-7169: mallory's by passwd, carol's by the member list.
      {"allow br0\ndeny br0 group=jailed", "mallory", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=jailed", "mallory-", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=jailed", "carol-", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=2103", "carol-", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=kvm", "build", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=jailed", "alice-", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 group=jailed", "3000:2103", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 user=carol group=jailed", "carol-", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 user=alice group=jailed", "alice", "bridge=br0", "allow 1"},
      // Groups and members that the database doesn't know.
      {"allow br0\ndeny br0 group=nosuch", "alice", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 group=nosuch", "2001:9000", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=nosuch", "3000:2100", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=ghosts", "3000:2100", "bridge=br0", "deny 2"},
      {"allow br0\ndeny br0 group=ghosts", "alice", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 group=vms", "3000:3000", "bridge=br0", "allow 1"},
      {"allow br0\ndeny br0 group=9001", "2001:9000", "bridge=br0", "allow 1"},
  };
  check_cases(kCases);
}

TEST(Policy, TheLastOfFiveHundredGroupsCounts) {
  std::vector<gid_t> groups;
  for (gid_t gid = 10000; gid < 10499; ++gid) groups.push_back(gid);
  const auto ask = [&] {
    const Caller caller = describe_caller(2004, 2004, groups, test_accounts());
    return decide(test_policy("allow br0 group=vms"), test_accounts(), caller, test_request("bridge=br0").first, {});
  };
  EXPECT_EQ(summary(ask()), "refuse");
  groups.push_back(2100);
  EXPECT_EQ(summary(ask()), "allow 1");
}

TEST(Policy, VerdictCarriesQuotaAndHashOfItsRule) {
  const Verdict bare = test_verdict("allow br0", "alice", "bridge=br0");
  EXPECT_FALSE(bare.quota_max.has_value());
  const Verdict unsaid = test_verdict("allow bridge=br0", "alice", "bridge=br0");
  EXPECT_EQ(unsaid.quota_max, 16u);
  EXPECT_EQ(test_verdict("allow br0 user=alice", "alice", "bridge=br0").quota_max, 16u);
  EXPECT_EQ(test_verdict("allow all user=alice max=3", "alice", "bridge=br0").quota_max, 3u);
  EXPECT_EQ(unsaid.rule_hash.size(), 16u);
  EXPECT_EQ(unsaid.rule_hash.find_first_not_of("0123456789abcdef"), std::string::npos);
  const Verdict refused = test_verdict("deny br0", "alice", "bridge=br0");
  EXPECT_FALSE(refused.quota_max.has_value());
  EXPECT_EQ(refused.rule_hash, "");
}

TEST(Policy, HashKnowsARuleByItsMeaning) {
  const auto hash = [](std::string_view text) { return rule_hash(test_policy(text).rules.at(0)); };
  const std::string rule = hash("allow bridge=br0 user=alice,bob queues=2 mac=52:54:00:aa:*");
  EXPECT_EQ(rule, hash("\n# moved\n  allow\tbridge=br0  mac=52:54:00:AA:* queues=2 "
                       "user=bob,alice,bob # said twice"));
  EXPECT_EQ(rule, hash("allow br0 user=alice,bob queues=2 mac=52:54:00:aa:*"));
  EXPECT_EQ(rule, hash("allow bridge=br0 user=alice,bob queues=2 mac=52:54:00:aa:* lock=off up=on vhost=off"));
  EXPECT_EQ(rule, hash("allow bridge=br0 user=alice,bob queues=2 mac=52:54:00:aa:* max=99"));
  EXPECT_NE(rule, hash("allow bridge=br1 user=alice,bob queues=2 mac=52:54:00:aa:*"));
  EXPECT_NE(rule, hash("allow bridge=br0 user=alice queues=2 mac=52:54:00:aa:*"));
  EXPECT_NE(rule, hash("allow bridge=br0 user=alice,bob queues=3 mac=52:54:00:aa:*"));
  EXPECT_NE(hash("allow bridge=br0"), hash("allow bridge=br0*"));
  EXPECT_NE(hash("allow bridge=br0"), hash("allow tap=br0"));
  EXPECT_NE(hash("allow bridge=br0 user=kvm"), hash("allow bridge=br0 group=kvm"));
}

TEST(Policy, ReasonsAreSentencesThatNameWhatIsMissing) {
  const auto why = [](std::string_view policy, std::string_view who, std::string_view request) {
    return test_verdict(policy, who, request).traces.at(0).why;
  };
  EXPECT_EQ(why("allow br1", "alice", "bridge=br0"), "it is for bridge=br1");
  EXPECT_EQ(why("allow br1", "alice", "tap"), "it is for bridge=br1, the request for tap");
  EXPECT_EQ(why("allow br0 user=alice,bob", "carol", "bridge=br0"),
            "user= names alice, bob; the caller is carol (2004)");
  EXPECT_EQ(why("allow br0 user=alice", "3000", "bridge=br0"), "user= names alice; the caller is uid 3000");
  EXPECT_EQ(why("allow br0 group=vms", "carol", "bridge=br0"), "group= names vms; carol (2004) is in none of these");
  EXPECT_EQ(why("allow br0 group=vms", "alice-", "bridge=br0"),
            "group= names vms; alice (2001) is a member, but this process doesn't have the group: log in again");
  EXPECT_EQ(why("allow br0", "alice", "bridge=br0,queues=4"), "queues=4 needs queues=4 or more in the rule");
  EXPECT_EQ(why("allow br0 queues=2", "alice", "bridge=br0,queues=4"), "queues=4 exceeds queues=2");
  EXPECT_EQ(why("allow br0", "alice", "bridge=br0,queues=4,vhost=on"),
            "queues=4 needs queues=4 or more in the rule; vhost=on needs vhost=on in the rule");
}

TEST(Policy, ExplanationIsOneJsonObject) {
  const Policy policy = test_policy("allow br1 # other\nallow  bridge=br0 user=alice max=4 up=off\nallow br0");
  const Caller alice = test_caller("alice");
  const auto [request, form] = test_request("bridge=br0");
  const Verdict verdict = decide(policy, test_accounts(), alice, request, form);
  EXPECT_EQ(explain_json(policy, alice, request, verdict),
            "{\"version\":1,\"allowed\":true,\"rule\":\"policy.conf:2\",\"reason\":\"policy.conf:2 allows it\","
            "\"request\":\"bridge=br0\",\"effective\":\"bridge=br0,up=off\",\"user\":\"alice\",\"uid\":2001,"
            "\"quota\":{\"max\":4,\"key\":\"tapferry.u2001." +
                verdict.rule_hash +
                "\"},\"rules\":[{\"rule\":\"policy.conf:1\",\"text\":\"allow br1\",\"outcome\":\"does not match\","
                "\"why\":\"it is for bridge=br1\"},"
                "{\"rule\":\"policy.conf:2\",\"text\":\"allow bridge=br0 user=alice max=4 up=off\","
                "\"outcome\":\"decides\",\"why\":\"it allows everything that is asked\"},"
                "{\"rule\":\"policy.conf:3\",\"text\":\"allow br0\",\"outcome\":\"not reached\","
                "\"why\":\"it would allow this, but policy.conf:2 allows it\"}],\"skipped\":[]}");
}

TEST(Policy, ExplanationOfARefusal) {
  Policy policy = test_policy("deny *");
  policy.skipped.push_back("/etc/tapferry/policy.d/bob.conf");
  const Caller nameless = test_caller("3000");
  const auto [request, form] = test_request("tap");
  const std::string json =
      explain_json(policy, nameless, request, decide(policy, test_accounts(), nameless, request, form));
  EXPECT_NE(json.find("\"allowed\":false,\"rule\":\"policy.conf:1\",\"reason\":\"policy.conf:1 denies it\""),
            std::string::npos)
      << json;
  EXPECT_NE(json.find("\"effective\":null,\"user\":null,\"uid\":3000,\"quota\":null"), std::string::npos) << json;
  EXPECT_NE(json.find("\"skipped\":[\"/etc/tapferry/policy.d/bob.conf: not readable by the caller\"]"),
            std::string::npos)
      << json;
  EXPECT_EQ(explain_json(Error("read", "F:3", "no \"x\""), nameless, "tap"),
            "{\"version\":1,\"allowed\":false,\"rule\":null,\"reason\":\"read F:3: no \\\"x\\\"\",\"request\":\"tap\","
            "\"effective\":null,\"user\":null,\"uid\":3000,\"quota\":null,\"rules\":[],\"skipped\":[]}");
}

}  // namespace
}  // namespace tapferry
