// SPDX-License-Identifier: MIT
//
// The policy's files: which are read, in what order, and what makes them unusable. Everything is in
// a directory of the test's own. What only a caller without privilege meets is tried in a child
// that has given up root.
#include "helper/policy_load.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>

#include "policy_case.h"

namespace tapferry {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

class PolicyLoad : public testing::Test {
 protected:
  void SetUp() override {
    umask_ = umask(022);
    std::string path = (fs::temp_directory_path() / "tapferry-policy-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    top_ = path;
    chmod(path.c_str(), 0755);
    fs::create_directories(top_ / "tapferry/policy.d");
    paths_ = {path_of("tapferry/policy.conf"), path_of("qemu/bridge.conf")};
  }

  void TearDown() override {
    fs::permissions(top_ / "tapferry/policy.d", fs::perms::owner_all, ignored_);
    fs::remove_all(top_, ignored_);
    umask(umask_);
  }

  std::string path_of(const std::string& name) const { return (top_ / name).string(); }

  // `@` in the text stands for the test's directory.
  std::string write(const std::string& name, std::string text, mode_t mode = 0644) {
    for (size_t at = 0; (at = text.find('@', at)) != std::string::npos;) text.replace(at, 1, top_.string());
    const std::string path = path_of(name);
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  std::string policy(const std::string& text, mode_t mode = 0644) { return write("tapferry/policy.conf", text, mode); }

  // "policy.conf:1 policy.d/a.conf:3", with `skipped PATH` behind; or the error's line, with @ for
  // the directory.
  std::string load() const { return load_as(getuid()); }
  std::string load_as(uid_t trusted_uid) const {
    const Result<Policy> loaded = load_policy(paths_, trusted_uid);
    std::string text;
    if (loaded.is_ok()) {
      for (const Rule& rule : loaded.value().rules) text += (text.empty() ? "" : " ") + rule.label;
      for (const std::string& path : loaded.value().skipped) text += (text.empty() ? "" : " ") + ("skipped " + path);
    } else {
      text = loaded.error().line();
    }
    for (size_t at; (at = text.find(top_.string())) != std::string::npos;) text.replace(at, top_.string().size(), "@");
    return text;
  }

  // What `work` says in a child process.
  static std::string in_child(const std::function<std::string()>& work) {
    int ends[2];
    if (pipe(ends) != 0) return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
      const std::string text = work();
      _exit(::write(ends[1], text.data(), text.size()) < 0 ? 1 : 0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return text;
  }

  // As the files' owner whom their modes bind, which root is not while it has CAP_DAC_OVERRIDE. (As
  // another user nothing could be read where the temporary directory is root's own.)
  std::string load_without_privilege() const {
    return in_child([&] {
      capng_clear(CAPNG_SELECT_CAPS);
      return capng_apply(CAPNG_SELECT_CAPS) == 0 ? load() : "privilege can't be dropped";
    });
  }

  static void expect_has(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << "\nlacks\n" << part;
  }

  mode_t umask_ = 022;
  fs::path top_;
  PolicyPaths paths_;
  std::error_code ignored_;
};

TEST_F(PolicyLoad, QemusFileIsReadOnlyWhereOursDoesNotExist) {
  expect_has(load(), "read @/tapferry/policy.conf: there is no policy, so nothing is allowed; as root, write");
  write("qemu/bridge.conf", "# QEMU's\nallow br0\n");
  EXPECT_EQ(load(), "bridge.conf:2");
  policy("allow br0");
  EXPECT_EQ(load(), "policy.conf:1");
  policy("");
  EXPECT_EQ(load(), "");
  policy("nonsense");
  expect_has(load(), "read @/tapferry/policy.conf:1: Unknown command `nonsense'");
  fs::remove(paths_.policy);
  fs::create_symlink(path_of("nowhere"), paths_.policy);
  EXPECT_EQ(load(), "read @/tapferry/policy.conf: No such file or directory");
  fs::remove(paths_.policy);
  fs::create_directory(paths_.policy);
  EXPECT_EQ(load(), "read @/tapferry/policy.conf: not a regular file");
  paths_.policy = "";
  EXPECT_EQ(load(), "bridge.conf:2");
}

TEST_F(PolicyLoad, APolicyThatTheCallerCannotReadIsNotAbsent) {
  write("qemu/bridge.conf", "allow br0");
  policy("allow br0", 0);
  EXPECT_EQ(load_without_privilege(),
            "read @/tapferry/policy.conf: Permission denied; the policy is read as the caller: as root, chmod a+r");
}

TEST_F(PolicyLoad, IncludesStandInPlaceAndLabelsAreShortBelowThePolicysDirectory) {
  policy("allow br0\ninclude @/tapferry/policy.d/x.conf\nallow br1\ninclude @/else/y.conf\n");
  write("tapferry/policy.d/x.conf", "\nallow br2\n");
  write("else/y.conf", "deny br3");
  EXPECT_EQ(load(), "policy.conf:1 policy.d/x.conf:2 policy.conf:3 @/else/y.conf:1");
}

TEST_F(PolicyLoad, GlobsAreInByteOrderWithoutDotFiles) {
  policy("include @/tapferry/policy.d/*.conf\nallow br9");
  EXPECT_EQ(load(), "policy.conf:2");
  for (const char* name : {"b.conf", "a.conf", "B.conf", "10.conf", "9.conf", "\xc3\xa4.conf", ".conf", ".x.conf",
                           "a.conf~", "a.conf.bak", "aconf"}) {
    write(std::string("tapferry/policy.d/") + name, "allow br0");
  }
  EXPECT_EQ(load(),
            "policy.d/10.conf:1 policy.d/9.conf:1 policy.d/B.conf:1 policy.d/a.conf:1 policy.d/b.conf:1 "
            "policy.d/\xc3\xa4.conf:1 policy.conf:2");
  policy("include @/tapferry/policy.d/?.conf");
  EXPECT_EQ(load(), "policy.d/9.conf:1 policy.d/B.conf:1 policy.d/a.conf:1 policy.d/b.conf:1");
  policy("include @/tapferry/policy.d/.*.conf");
  EXPECT_EQ(load(), "policy.d/.x.conf:1");
  policy("include @/tapferry/policy.e/*.conf");
  EXPECT_EQ(load(), "");
}

TEST_F(PolicyLoad, WhatAnIncludeCannotGiveIsAnErrorOfItsLine) {
  policy("allow br0\ninclude @/absent.conf");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:2: include @/absent.conf: No such file or directory");
  policy("allow br0\ninclude @/tapferry");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:2: include @/tapferry: not a regular file");
  policy("allow br0\ninclude @/tapferry/policy.conf/*.conf");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:2: include @/tapferry/policy.conf/*.conf: Not a directory");
  policy("include @/tapferry/policy.d/*.conf");
  write("tapferry/policy.d/a.conf", "allow br0\n\nallow br*");
  expect_has(load(), "read @/tapferry/policy.d/a.conf:3: Invalid config line: ");
  fs::remove(path_of("tapferry/policy.d/a.conf"));
  fs::create_directory(path_of("tapferry/policy.d/b.conf"));
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:1: include @/tapferry/policy.d/b.conf: not a regular file");
  fs::remove(path_of("tapferry/policy.d/b.conf"));
  fs::create_symlink("nowhere", path_of("tapferry/policy.d/c.conf"));
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:1: include @/tapferry/policy.d/c.conf: No such file or directory");
}

TEST_F(PolicyLoad, AFifoDoesNotHang) {
  policy("allow br0\ninclude @/pipe");
  ASSERT_EQ(mkfifo(path_of("pipe").c_str(), 0644), 0);
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:2: include @/pipe: not a regular file");
  fs::remove(paths_.policy);
  ASSERT_EQ(mkfifo(paths_.policy.c_str(), 0644), 0);
  EXPECT_EQ(load(), "read @/tapferry/policy.conf: not a regular file");
}

TEST_F(PolicyLoad, FilesThatOthersCanWriteAreNotBelieved) {
  const std::string include = write("tapferry/policy.d/a.conf", "allow br1");
  for (const mode_t mode : {0664, 0646, 0666}) {
    policy("allow br0\ninclude @/tapferry/policy.d/*.conf", mode);
    EXPECT_EQ(load(), "read @/tapferry/policy.conf: others than its owner can write to it; as root: chmod go-w");
    policy("allow br0\ninclude @/tapferry/policy.d/*.conf");
    chmod(include.c_str(), mode);
    expect_has(load(), "policy.conf:2: include @/tapferry/policy.d/a.conf: others than its owner can write to it");
    chmod(include.c_str(), 0644);
  }
  for (const mode_t mode : {0775, 0757, 01777}) {
    chmod(path_of("tapferry/policy.d").c_str(), mode);
    expect_has(load(), "policy.conf:2: include @/tapferry/policy.d/*.conf: others than its owner can write to it");
  }
  // A literal include doesn't trust the directory to list what is to be read.
  policy("include @/tapferry/policy.d/a.conf");
  EXPECT_EQ(load(), "policy.d/a.conf:1");
}

TEST_F(PolicyLoad, FilesAreRootsOrTheTrustedUsers) {
  if (getuid() != 0) GTEST_SKIP() << "only root can give files away";
  const std::string include = write("tapferry/policy.d/a.conf", "allow br1");
  policy("include @/tapferry/policy.d/*.conf");
  EXPECT_EQ(load_as(kNobody), "policy.d/a.conf:1");
  for (const std::string& path : {include, path_of("tapferry/policy.d"), paths_.policy}) {
    ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
    expect_has(load(), "it doesn't belong to root");
    EXPECT_EQ(load_as(kNobody), "policy.d/a.conf:1");
    expect_has(load_as(kNobody - 1), "it doesn't belong to root");
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
}

TEST_F(PolicyLoad, LoopsAreErrors) {
  policy("allow br0\ninclude @/tapferry/policy.conf");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:2: include @/tapferry/policy.conf: it includes itself");
  policy("include @/a");
  write("a", "include @/b");
  write("b", "include @/link/policy.conf");
  fs::create_directory_symlink("tapferry", path_of("link"));
  EXPECT_EQ(load(), "read @/b:1: include @/link/policy.conf: it includes itself");
  // Twice in a row is no loop.
  write("b", "allow br0");
  policy("include @/b\ninclude @/b");
  EXPECT_EQ(load(), "@/b:1 @/b:1");
}

TEST_F(PolicyLoad, NestingFilesAndSizesAreLimited) {
  policy("include @/1");
  for (unsigned i = 1; i < kMaxIncludeDepth; ++i) {
    write(std::to_string(i), "include @/" + std::to_string(i + 1));
  }
  write("16", "allow br0");
  EXPECT_EQ(load(), "@/16:1");
  write("16", "include @/17");
  write("17", "allow br0");
  EXPECT_EQ(load(), "read @/16:1: include @/17: includes are nested too deep");

  std::string many;
  for (unsigned i = 1; i < kMaxPolicyFiles; ++i) many += "include @/17\n";
  policy(many);
  EXPECT_EQ(load().find("read"), std::string::npos);
  policy(many + "include @/17\n");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf:1024: include @/17: too many files");

  std::string large;
  while (large.size() < kMaxPolicyFile) large += "#" + std::string(1022, 'x') + "\n";
  policy(large);
  EXPECT_EQ(load(), "");
  policy(large + "\n");
  EXPECT_EQ(load(), "read @/tapferry/policy.conf: longer than 1048576 bytes");
}

TEST_F(PolicyLoad, AnIncludeThatTheCallerMayNotReadIsSkipped) {
  policy("include @/tapferry/policy.d/secret.conf\nallow br0\ninclude @/tapferry/policy.d/*.conf");
  const std::string secret = write("tapferry/policy.d/secret.conf", "allow br1", 0);
  write("tapferry/policy.d/a.conf", "allow br2");
  const std::string skipped = "skipped @/tapferry/policy.d/secret.conf";
  EXPECT_EQ(load_without_privilege(), "policy.conf:2 policy.d/a.conf:1 " + skipped + " " + skipped);
  // One that is skipped must be the administrator's all the same.
  chmod(secret.c_str(), 0020);
  expect_has(load_without_privilege(),
             "include @/tapferry/policy.d/secret.conf: others than its owner can write to it");
}

TEST_F(PolicyLoad, ADirectoryThatTheCallerMayNotReadDenies) {
  write("tapferry/policy.d/a.conf", "deny br0");
  for (const auto& [include, mode] : std::initializer_list<std::pair<const char*, mode_t>>{
           {"*.conf", 0}, {"*.conf", 0300}, {"*.conf", 0600}, {"a.conf", 0}, {"absent.conf", 0}, {"a.conf", 0600}}) {
    policy(std::string("allow br0\ninclude @/tapferry/policy.d/") + include);
    chmod(path_of("tapferry/policy.d").c_str(), mode);
    const std::string text = load_without_privilege();
    EXPECT_TRUE(text.starts_with("read @/tapferry/policy.conf:2: include ")) << include << " " << text;
    expect_has(text, "Permission denied");
  }
}

// qemu-bridge-helper ignores an include that it can't open, so that a low limit lost a deny.
TEST_F(PolicyLoad, TooFewDescriptorsNeverLoseADeny) {
  policy("allow br0\ninclude @/1");
  for (int i = 1; i < 6; ++i) write(std::to_string(i), "include @/" + std::to_string(i + 1));
  write("6", "include @/tapferry/policy.d/*.conf");
  write("tapferry/policy.d/a.conf", "deny br0");
  for (rlim_t files = 3; files <= 16; ++files) {
    const std::string text = in_child([&] {
      const rlimit limit{files, files};
      return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? load() : "the limit can't be set";
    });
    const bool is_whole = text == "policy.conf:1 policy.d/a.conf:1";
    EXPECT_TRUE(is_whole || text.ends_with("Too many open files")) << files << ": " << text;
    if (files == 3) {
      EXPECT_FALSE(is_whole);
    }
  }
}

}  // namespace
}  // namespace tapferry
