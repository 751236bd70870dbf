// SPDX-License-Identifier: MIT
//
// The account files, and who a caller is by them.
#include "helper/accounts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tapferry {
namespace {

TEST(Accounts, LinesOfBothFiles) {
  const Accounts accounts = parse_accounts(
      "root:x:0:0:root:/root:/bin/bash\n"
      "alice:*:2001:100:Alice A.:/home/alice:/bin/sh\n"
      "short:x:7:8",
      "root:x:0:\nvms:x:2100:alice,bob\nkvm:!:2102:alice\nshort:x:9");
  ASSERT_EQ(accounts.users.size(), 3u);
  EXPECT_EQ(accounts.users[1].name, "alice");
  EXPECT_EQ(accounts.users[1].uid, 2001u);
  EXPECT_EQ(accounts.users[1].gid, 100u);
  ASSERT_EQ(accounts.groups.size(), 4u);
  EXPECT_EQ(accounts.groups[1].gid, 2100u);
  EXPECT_EQ(accounts.groups[1].members, (std::vector<std::string>{"alice", "bob"}));
  EXPECT_TRUE(accounts.groups[0].members.empty());
  EXPECT_TRUE(accounts.has_user("short"));
  EXPECT_FALSE(accounts.has_user("shor"));
  EXPECT_TRUE(accounts.has_group("kvm"));
  EXPECT_FALSE(accounts.has_group("KVM"));
  EXPECT_TRUE(accounts.has_group(gid_t{2102}));
  EXPECT_FALSE(accounts.has_group(gid_t{2103}));
}

TEST(Accounts, LinesThatLibcCouldNotUseAreLeftOut) {
  const Accounts accounts = parse_accounts(
      "\n#x:x:1:1\n+:::::\n+@admins::::::\n-bob:x:2:2::/:\n:x:3:3::/:\nnouid:x::4::/:\nnan:x:a:5::/"
      ":\n"
      "negative:x:-1:6::/:\nlarge:x:4294967296:7::/:\nminusone:x:4294967295:8::/"
      ":\nfew:x:9\nlonely\n"
      "octal:x:010:9::/:\nok:x:10:10::/:\n",
      "+:::\n-x:x:1:\n:x:2:\nnogid:x::a\nok:x:10:,,a,\nlonely\n");
  ASSERT_EQ(accounts.users.size(), 1u);
  EXPECT_EQ(accounts.users[0].name, "ok");
  ASSERT_EQ(accounts.groups.size(), 1u);
  EXPECT_EQ(accounts.groups[0].members, (std::vector<std::string>{"a"}));
}

TEST(Accounts, ACallerHasAllHisNamesAndGroups) {
  const Accounts accounts = parse_accounts("a:x:10:20::/:\nb:x:10:21::/:\nbb:x:11:22::/:\n",
                                           "p:x:20:\nq:x:21:\nr:x:30:x,b\ns:x:31:bb\nt:x:32:a,b\n");
  const Caller caller = describe_caller(10, 20, {31, 30, 31}, accounts);
  EXPECT_EQ(caller.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(caller.kernel_groups, (std::vector<gid_t>{20, 30, 31}));
  EXPECT_EQ(caller.database_groups, (std::vector<gid_t>{20, 21, 30, 32}));
  EXPECT_FALSE(caller.has_unknown_group);
  EXPECT_TRUE(caller.is_named("b"));
  EXPECT_FALSE(caller.is_named("bb"));
  EXPECT_TRUE(caller.is_in_kernel_group(31));
  EXPECT_FALSE(caller.is_in_kernel_group(32));
  EXPECT_TRUE(caller.is_in_database_group(32));
  EXPECT_EQ(to_string(caller), "a (10)");
}

TEST(Accounts, ACallerMayBeUnknown) {
  const Accounts accounts = parse_accounts("a:x:10:20::/:\n", "p:x:20:\n");
  const Caller stranger = describe_caller(99, 20, {}, accounts);
  EXPECT_FALSE(stranger.is_in_database());
  EXPECT_TRUE(stranger.database_groups.empty());
  EXPECT_FALSE(stranger.has_unknown_group);
  EXPECT_EQ(to_string(stranger), "uid 99");
  EXPECT_TRUE(describe_caller(10, 20, {77}, accounts).has_unknown_group);
  EXPECT_TRUE(describe_caller(10, 77, {}, accounts).has_unknown_group);
}

TEST(Accounts, AFileThatCannotBeReadWholeIsAnError) {
  namespace fs = std::filesystem;
  std::string top = (fs::temp_directory_path() / "tapferry-accounts-XXXXXX").string();
  ASSERT_NE(mkdtemp(top.data()), nullptr);
  const std::string passwd = top + "/passwd";
  const std::string group = top + "/group";
  std::ofstream(passwd) << "a:x:10:20::/:\n";
  EXPECT_EQ(load_accounts(passwd, group).error().line(), "open " + group + ": No such file or directory");
  std::ofstream(group) << "p:x:20:a\n";
  const auto loaded = load_accounts(passwd, group);
  ASSERT_TRUE(loaded.is_ok());
  EXPECT_TRUE(loaded.value().has_user("a"));
  EXPECT_TRUE(loaded.value().has_group("p"));
  EXPECT_EQ(load_accounts(top, group).error().line(), "read " + top + ": not a regular file");
  fs::remove(passwd);
  ASSERT_EQ(mkfifo(passwd.c_str(), 0644), 0);
  EXPECT_EQ(load_accounts(passwd, group).error().line(), "read " + passwd + ": not a regular file");
  fs::resize_file(group, kMaxAccountsFile + 1);
  EXPECT_FALSE(load_accounts(group, group).is_ok());
  fs::remove_all(top);
}

}  // namespace
}  // namespace tapferry
