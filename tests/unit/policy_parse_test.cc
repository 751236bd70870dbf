// SPDX-License-Identifier: MIT
//
// The text of a policy: what is a rule, what is malformed and how that is said.
#include "helper/policy_parse.h"

#include "policy_case.h"

namespace tapferry {
namespace {

// The error for `line` as the third of a file.
std::string error_of(const std::string& line) {
  const auto parsed = parse_policy("allow br0\n# comment\n" + line + "\nallow br1\n", "/p/policy.conf", "policy.conf");
  return parsed.is_ok() ? "parsed" : parsed.error().line();
}

bool is_accepted(std::string_view line) { return parse_policy(line, "f", "f").is_ok(); }

TEST(PolicyParse, MalformedLinesAreErrorsWithFileLineAndReason) {
  struct {
    std::string line;
    const char* what;  // what the error has to say
  } const cases[] = {
      {"permit br0", "Unknown command `permit'; a line begins with allow, deny or include"},
      {"Allow br0", "Unknown command `Allow'"},
      {"allowbr0", "Unknown command `allowbr0'"},
      {"\xef\xbb\xbf"
       "allow br0",
       "Unknown command"},
      {"allow", "allow needs an object"},
      {"deny", "deny needs an object"},
      {"allow # br0", "allow needs an object"},
      {"allow *", "`*' is only for deny; write bridge=*, tap=*, macvtap=* or device=*"},
      {"allow br*", "`br*' is a bare name, which has no pattern; write bridge=br*"},
      {"deny br*", "write bridge=br*"},
      {"allow tap", "write tap=*, or bridge=tap for a bridge of that name"},
      {"deny device", "write device=*"},
      {"allow bridge", "a bare name is a bridge's"},
      {"allow bridge=", "needs a name, or * for every name"},
      {"allow user=alice", "`user=alice' names no object; an object is bridge=, tap=, macvtap= or device="},
      {"allow =br0", "names no object"},
      {"allow bridge=b*0", "the only pattern can be one * at the end"},
      {"allow bridge=br**", "the only pattern can be one * at the end"},
      {"deny bridge=br?", "the only pattern can be one * at the end"},
      {"deny bridge=br[01]", "the only pattern can be one * at the end"},
      {"allow br0,br1", "`br0,br1' can't be an interface's name"},
      {"allow bridge=br0,br1", "can't be an interface's name"},
      {"allow bridge=a/b", "can't be an interface's name"},
      {"allow bridge=..", "can't be an interface's name"},
      {"allow bridge=a:b", "can't be an interface's name"},
      {"allow device=/dev/tap7,mac=x", "device= takes one path"},
      {"allow device=dev/tap7", "can't be an interface's name"},
      {"allow device=/dev/tap?", "the only pattern can be one * at the end"},
      {"allow br0 br1", "`br1' is no key of a rule; the keys are in tapferry-policy(5)"},
      {"allow br0 colour=red", "`colour' is no key of a rule"},
      {"allow br0 =red", "`' is no key of a rule"},
      {"allow br0 vnet_hdr=on", "`vnet_hdr' is no key of a rule"},
      {"allow br0 user", "user needs a value: user=VALUE"},
      {"allow br0 user=", "user= needs a value"},
      {"allow br0 user=a user=b", "user= is there twice; several values go with commas"},
      {"allow br0 user=a,,b", "a list has an empty value"},
      {"allow br0 user=a,", "a list has an empty value"},
      {"allow br0 user=a*", "user= and group= take whole names"},
      {"allow br0 user=@kvm", "`@kvm' can't be a name; a group is written group=NAME"},
      {"allow br0 user=%kvm", "can't be a name"},
      {"allow br0 user=!bob", "can't be a name"},
      {"allow br0 user=007", "`007' is no name and no user or group id"},
      {"allow br0 user=4294967295", "is no name and no user or group id"},
      {"allow br0 group=99999999999999999999", "is no name and no user or group id"},
      {"allow br0 max=0", "max= takes a number from 1 to 65535"},
      {"allow br0 max=65536", "max= takes a number"},
      {"allow br0 max=x", "max= takes a number"},
      {"allow br0 max=1x", "max= takes a number"},
      {"allow br0 queues=0", "queues= takes a number from 1 to 64"},
      {"allow br0 queues=65", "queues= takes a number"},
      {"allow br0 mtu=67", "mtu= takes a number from 68 to 65521"},
      {"allow br0 mtu=1500,9000", "mtu= takes a number"},
      {"allow br0 mode=bridge", "mode= is not for bridge="},
      {"allow tap=* isolated=on", "isolated= is not for tap="},
      {"allow tap=* lock=on", "lock= is not for tap="},
      {"allow tap=* guest_mac=02:*", "guest_mac= is not for tap="},
      {"allow macvtap=e isolated=on", "isolated= is not for macvtap="},
      {"allow device=7 name=x", "name= is not for device="},
      {"allow device=7 persist=on", "persist= is not for device="},
      {"allow macvtap=e mode=router", "mode= takes bridge, vepa, private, passthru and source"},
      {"allow macvtap=e mode=*", "mode= takes bridge"},
      {"allow br0 name=a/b", "can't be an interface's name"},
      {"allow br0 mac=52:54", "is no MAC address and no beginning of one with a *"},
      {"allow br0 mac=5254*", "is no MAC address"},
      {"allow br0 mac=52:54:00:00:00:01:02*", "is no MAC address"},
      {"allow br0 mac=*:01", "the only pattern can be one * at the end"},
      {"allow br0 mac=01:00:5e:00:00:01", "is no unicast MAC address"},
      {"allow br0 mac=00:00:00:00:00:00", "is no unicast MAC address"},
      {"allow br0 vhost=auto", "vhost= takes on or off"},
      {"allow br0 persist=yes", "persist= takes on or off"},
      {"allow br0 lock=1", "lock= takes on or off"},
      {"allow br0 up=down", "up= takes on or off"},
      {"allow br0 rate_to=fast", "rate_to= takes a number and bit, kbit, mbit, gbit or tbit"},
      {"allow br0 rate_from=7999bit", "8kbit at least"},
      {"allow br0 vhost=auto", "write vhost=on, which permits vhost=auto too"},
      {"allow device=* max=1", "max= is not for device="},
      {"allow br0 rate_from=10", "rate_from= takes a number"},
      {"allow br0 filter=ipx", "filter= takes auto, or ipv4"},
      {"allow ovs:br0", "a bare name, which is a Linux bridge's; write bridge=ovs:br0"},
      {"allow bridge=ovs:", "can't be a bridge of Open vSwitch"},
      {"allow bridge=ovs:a:b", "can't be a bridge of Open vSwitch"},
      {"allow bridge=ovs:sixteen-bytes-00", "can't be a bridge of Open vSwitch"},
      {"allow bridge=ovs:br? ", "the only pattern can be one * at the end"},
      {"allow macvtap=ovs:br0", "can't be an interface's name"},
      {"allow bridge=ovs:br0 lock=on", "lock= is not for bridge=ovs:"},
      {"allow bridge=ovs:br0 guest_mac=02:*", "guest_mac= is not for bridge=ovs:"},
      {"allow bridge=ovs:br0 isolated=on", "isolated= is not for bridge=ovs:"},
      {"allow bridge=ovs:* rate_to=1mbit", "rate_to= is not for bridge=ovs:"},
      {"allow bridge=ovs:br0 filter=ipv4", "filter= is not for bridge=ovs:"},
      {"allow br0 iface_id=vm-1", "iface_id= is not for bridge="},
      {"allow bridge=ovs:br0 iface_id=-x", "can't be an iface-id"},
      {"deny bridge=ovs:br0 iface_id=x", "a deny takes only user= and group="},
      {"deny br0 max=3", "a deny takes only user= and group="},
      {"deny * queues=1", "a deny takes only user= and group="},
      {"include", "include takes one path"},
      {"include /a /b", "include takes one path"},
      {"include a.conf", "include takes an absolute path"},
      {"include /etc/*/a.conf", "an include has * and ? in its last component only"},
      {"include /etc/[ab].conf", "the only patterns in an include are * and ?"},
      {"include /etc/\\*.conf", "the only patterns in an include are * and ?"},
      {"include /etc/tapferry/", "include takes a file, not a directory; write DIRECTORY/*.conf"},
      {"allow br0\r", "it ends in a carriage return; lines end in a newline only"},
      {"allow br0\v", "it has a control character"},
      {"# \x1b[2J", "it has a control character"},
      {"# \x7f", "it has a control character"},
      {"allow br0 user=a\rlice", "it has a control character"},
      {std::string("allow br0\0", 10), "it has a control character"},
      {std::string("\0", 1), "it has a control character"},
  };
  for (const auto& one : cases) {
    const std::string error = error_of(one.line);
    EXPECT_TRUE(error.starts_with("read /p/policy.conf:3: ")) << one.line << "\n" << error;
    EXPECT_NE(error.find(one.what), std::string::npos) << one.line << "\n" << error;
    if (!std::string_view(one.what).starts_with("Unknown command")) {
      EXPECT_NE(error.find("Invalid config line: "), std::string::npos) << error;
    }
  }
}

// CVE-2019-13164: qemu-bridge-helper copied a name of any length into IFNAMSIZ bytes.
TEST(PolicyParse, NamesThatAreTooLongAreNamedInQemusWords) {
  const std::string longest(15, 'b');
  for (const char* verb : {"allow ", "deny "}) {
    for (const char* kind : {"", "bridge=", "tap=", "macvtap=", "device="}) {
      EXPECT_TRUE(is_accepted(verb + (kind + longest)));
      EXPECT_NE(error_of(verb + (kind + longest + "b")).find("name `bbbbbbbbbbbbbbbb' too long: 16"),
                std::string::npos);
    }
    EXPECT_TRUE(is_accepted(verb + ("bridge=" + longest + "*")));
    EXPECT_NE(error_of(verb + ("bridge=" + longest + "bb*")).find("too long: 17"), std::string::npos);
  }
  EXPECT_NE(error_of("allow br0 name=" + longest + "b").find("too long: 16"), std::string::npos);
}

TEST(PolicyParse, LinesHoldAtMost4095Bytes) {
  EXPECT_TRUE(is_accepted("#" + std::string(4094, 'x')));
  EXPECT_TRUE(is_accepted("#" + std::string(4094, 'x') + "\n"));
  EXPECT_NE(error_of("#" + std::string(4095, 'x')).find("longer than 4095 bytes"), std::string::npos);
  // What QEMU's helper reads as a line of its own, after the 4095th byte.
  EXPECT_FALSE(is_accepted("#" + std::string(4094, 'x') + "deny br0\nallow br0"));
  EXPECT_FALSE(is_accepted(std::string(1 << 20, 'x')));
}

TEST(PolicyParse, BlanksAndCommentsAreNothing) {
  for (const char* text : {"", "\n", "\n\n", "   ", "\t", "#", "  # allow br0", "#allow br0\n\t#\n"}) {
    EXPECT_EQ(test_policy(text).rules.size(), 0u) << text;
  }
  EXPECT_EQ(test_policy("\tallow\t br0\t #x").rules.at(0).text, "allow br0");
  EXPECT_EQ(test_policy("allow br#0").rules.at(0).object.text, "br#0");
  EXPECT_EQ(test_policy("allow br0 #user=alice").rules.at(0).users.size(), 0u);
  EXPECT_EQ(test_policy("allow br0").rules.size(), 1u);
}

TEST(PolicyParse, RulesKnowWhereTheyStand) {
  const Policy policy = test_policy("allow br0\n\n# x\ndeny br1\n");
  ASSERT_EQ(policy.rules.size(), 2u);
  EXPECT_EQ(policy.rules[0].label, "policy.conf:1");
  EXPECT_EQ(policy.rules[1].label, "policy.conf:4");
  EXPECT_EQ(policy.rules[1].file, "/etc/tapferry/policy.conf");
  EXPECT_EQ(policy.rules[1].line, 4u);
}

TEST(PolicyParse, IncludesStandBetweenRules) {
  const auto parsed = parse_policy("allow br0\ninclude /a/b.conf # c\ninclude /a/*.con?\n", "f", "f");
  ASSERT_TRUE(parsed.is_ok());
  ASSERT_EQ(parsed.value().size(), 3u);
  EXPECT_NE(std::get_if<Rule>(&parsed.value()[0]), nullptr);
  const Include* literal = std::get_if<Include>(&parsed.value()[1]);
  const Include* glob = std::get_if<Include>(&parsed.value()[2]);
  ASSERT_TRUE(literal && glob);
  EXPECT_EQ(literal->path, "/a/b.conf");
  EXPECT_FALSE(literal->is_glob);
  EXPECT_EQ(literal->line, 2u);
  EXPECT_TRUE(glob->is_glob);
}

TEST(PolicyParse, NormalisedTextParsesToItself) {
  struct {
    const char* text;
    const char* normalised;
  } static constexpr kCases[] = {
      {"allow br0", "allow br0"},
      {"allow  all # x", "allow all"},
      {"allow bridge=all", "allow bridge=all max=16"},
      {"allow bridge=*", "allow bridge=* max=16"},
      {"allow br0 user=x", "allow bridge=br0 user=x max=16"},
      {"deny br0", "deny bridge=br0"},
      {"deny all", "deny bridge=*"},
      {"deny * user=b,a group=c", "deny * user=a,b group=c"},
      {"allow tap=* up=off name=b*,a queues=1 max=1", "allow tap=* name=a,b* up=off max=1"},
      {"allow macvtap=e mode=source,bridge,source", "allow macvtap=e mode=bridge,source max=16"},
      {"allow bridge=b filter=ipv6,ipv4 rate_to=1000mbit rate_from=9kbit lock=on isolated=on "
       "guest_mac=02:AA:* mac=*",
       "allow bridge=b guest_mac=02:aa:* mac=* lock=on isolated=on rate_to=1gbit rate_from=9kbit "
       "filter=ipv4,ipv6 max=16"},
      {"allow bridge=ovs:br-* iface_id=b*,a max=2", "allow bridge=ovs:br-* iface_id=a,b* max=2"},
      {"deny bridge=ovs:*", "deny bridge=ovs:*"},
      {"allow device=/dev/tap* mtu=1500 vhost=on", "allow device=/dev/tap* mtu=1500 vhost=on"},
  };
  for (const auto& one : kCases) {
    const std::string text = normalised_text(test_policy(one.text).rules.at(0));
    EXPECT_EQ(text, one.normalised);
    EXPECT_EQ(normalised_text(test_policy(text).rules.at(0)), text);
  }
}

}  // namespace
}  // namespace tapferry
