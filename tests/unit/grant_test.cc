// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "base/fd_pass.h"
#include "net/grant.h"
#include "net/grant_reader.h"

namespace tapferry {
namespace {

Grant sample() {
  Grant grant;
  grant.ifname = "tap12";
  grant.ifindex = 31;
  grant.upper = "br0";
  grant.queues = 2;
  grant.mac = *parse_mac("fe:01:02:03:04:05");
  grant.mtu = 1500;
  grant.rule = "policy.conf:12";
  return grant;
}

// The sample's record with one text replaced by another.
std::string with(std::string_view before, std::string_view after) {
  std::string line = to_json_line(sample());
  const size_t at = line.find(before);
  EXPECT_NE(at, std::string::npos) << before;
  return line.replace(at, before.size(), after);
}

std::string reason(const std::string& bytes) {
  const auto grant = read_grant(bytes);
  return grant.is_ok() ? "" : grant.error().reason();
}

TEST(Grant, IsOneLineOfJson) {
  EXPECT_EQ(to_json_line(sample()),
            "{\"version\":1,\"kind\":\"bridge\",\"ifname\":\"tap12\",\"ifindex\":31,\"upper\":\"br0\",\"queues\":2,"
            "\"vhost\":0,\"vnet_hdr\":true,\"vnet_hdr_sz\":12,\"mac\":\"fe:01:02:03:04:05\",\"mtu\":1500,\"up\":true,"
            "\"rule\":\"policy.conf:12\"}\n");
}

TEST(Grant, FitsAMessageWhateverTheRuleIsCalled) {
  Grant grant = sample();
  grant.rule = std::string(1024, 'x');
  EXPECT_LE(to_json_line(grant).size(), kMaxPassedBytes);
}

TEST(ReadGrant, ReadsWhatIsWritten) {
  Grant grant = sample();
  EXPECT_EQ(read_grant(to_json_line(grant)).value(), grant);
  grant.kind = Kind::kTap;
  grant.upper.clear();
  grant.queues = 64;
  grant.vhost = 64;
  grant.vnet_hdr = false;
  grant.vnet_hdr_sz = 0;
  grant.up = false;
  grant.rule = "/etc/a \"b\"\\c\té:3";
  EXPECT_EQ(read_grant(to_json_line(grant)).value(), grant);
}

TEST(ReadGrant, OrderAndBlanksDoNotMatter) {
  EXPECT_EQ(read_grant("{ \"rule\" : \"policy.conf:12\",\t\"up\":true,\"mtu\":1500,\"mac\":\"FE:01:02:03:04:05\","
                       "\"vnet_hdr_sz\":12,\"vnet_hdr\":true,\"vhost\":0,\"queues\":2,\"upper\":\"br0\",\"ifindex\":31,"
                       "\"ifname\":\"tap12\",\"kind\":\"bridge\",\"version\":1}\n")
                .value(),
            sample());
}

TEST(ReadGrant, EveryKeyIsNeededOnceAndOfItsType) {
  for (const std::string_view key : {"version", "kind", "ifname", "ifindex", "upper", "queues", "vhost", "vnet_hdr",
                                     "vnet_hdr_sz", "mac", "mtu", "up", "rule"}) {
    const std::string quoted = "\"" + std::string(key) + "\":";
    EXPECT_EQ(reason(with(quoted, "\"x" + quoted.substr(1))), std::string(key) + " is missing");
    EXPECT_NE(reason(with(quoted, quoted + "{}," + quoted)), "") << key;
    EXPECT_EQ(reason(with("{", "{" + quoted + "1,")), "it has a key twice");
  }
  EXPECT_EQ(reason(with("31", "\"31\"")), "ifindex is not a whole number");
  EXPECT_EQ(reason(with("\"tap12\"", "12")), "ifname is not a string");
  EXPECT_EQ(reason(with("\"up\":true", "\"up\":1")), "up is not true or false");
  EXPECT_EQ(reason(with("\"tap12\"", "null")), "ifname is not a string");
}

TEST(ReadGrant, OtherVersionsAndKeysAreErrors) {
  EXPECT_EQ(reason(with("\"version\":1", "\"version\":2")), "its version is 2, and this program knows version 1");
  EXPECT_EQ(reason(with("}", ",\"more\":1}")), "it has a key that version 1 doesn't have");
}

TEST(ReadGrant, ValuesHaveTheirLimits) {
  for (const auto& [before, after, says] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"\"bridge\"", "\"vlan\"", "kind is none of"},
           {"\"tap12\"", "\"tap/12\"", "ifname can't be"},
           {"\"tap12\"", "\"tap4567890123456\"", "ifname can't be"},
           {"\"br0\"", "\"br 0\"", "upper can't be"},
           {"\"br0\"", "null", "upper is not the bridge"},
           {":31", ":0", "ifindex is not from 1"},
           {":31", ":-31", "ifindex is not from 1"},
           {":31", ":2147483648", "ifindex is not from 1"},
           {"\"queues\":2", "\"queues\":65", "queues is not from 1 to 64"},
           {"\"queues\":2", "\"queues\":0", "queues is not from 1 to 64"},
           {"\"vhost\":0", "\"vhost\":1", "vhost is neither 0 nor queues"},
           {"_sz\":12", "_sz\":11", "vnet_hdr_sz doesn't fit"},
           {"_sz\":12", "_sz\":0", "vnet_hdr_sz doesn't fit"},
           {"\"vnet_hdr\":true", "\"vnet_hdr\":false", "vnet_hdr_sz doesn't fit"},
           {"fe:01", "fe-01", "mac is no MAC address"},
           {":1500", ":67", "mtu is not from 68"},
       }) {
    EXPECT_TRUE(reason(with(before, after)).starts_with(says)) << after << ": " << reason(with(before, after));
  }
}

TEST(ReadGrant, OnlyOneFlatObjectOfRealJsonIsRead) {
  const std::string line = to_json_line(sample());
  const std::string object = line.substr(0, line.size() - 1);
  for (const std::string& bytes : {std::string(),
                                   std::string("\n"),
                                   std::string("{}\n"),
                                   std::string("[]\n"),
                                   std::string(1, '\0'),
                                   object,
                                   line + "\n",
                                   line + line,
                                   line + "x",
                                   " " + line,
                                   "\n" + line,
                                   object + " \n",
                                   "var x = " + line,
                                   "/* c */" + line,
                                   with(",", ",/* c */"),
                                   with("{", "{\n"),
                                   with(":31", ":031"),
                                   with(":31", ":0x1f"),
                                   with(":31", ":3e1"),
                                   with(":31", ":31.0"),
                                   with(":31", ":+31"),
                                   with(":31", ":99999999999999999999"),
                                   with("\"tap12\"", "'tap12'"),
                                   with("tap12", "tap\\u0000"),
                                   with("tap12", "tap\\x12"),
                                   with("tap12", "tap\t"),
                                   with("tap12", "\xff"),
                                   with("policy", "\\ud800"),
                                   with("}", ",}"),
                                   with("\"br0\"", "[\"br0\"]"),
                                   with("\"br0\"", "{\"a\":1}"),
                                   with("\"rule\"", "rule"),
                                   with("true", "TRUE"),
                                   with("policy", std::string(kMaxPassedBytes, 'x'))}) {
    EXPECT_NE(reason(bytes), "") << bytes;
  }
}

}  // namespace
}  // namespace tapferry
