// SPDX-License-Identifier: MIT
//
// Which macvtap device=WHICH means, and what it says of everything else. What it opens is tried in tests/system.
#include "helper/device.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "base/syscall.h"
#include "tests/unit/tc_case.h"

namespace tapferry {
namespace {

// A directory of the test's own, gone afterwards.
class DeviceByPath : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/deviceXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const char* name) const { return directory_ + "/" + name; }
  // Why it can't be opened.
  std::string why_not(const std::string& which) {
    Rtnl rtnl = Rtnl::open().value();
    const Result<Device> device = find_device(rtnl, which);
    return device.is_ok() ? "" : device.error().line();
  }
  void make(const char* name) { ASSERT_EQ(mknod(path(name).c_str(), S_IFREG | 0600, 0), 0); }

  std::string directory_;
};

TEST_F(DeviceByPath, WhatIsSomethingElseIsNamed) {
  make("file");
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(symlink("file", path("link").c_str()), 0);
  EXPECT_EQ(why_not(path("file")),
            "open device " + path("file") + ": it is a regular file, not the character device of a macvtap");
  EXPECT_NE(why_not(directory_).find("it is a directory, not"), std::string::npos);
  EXPECT_NE(why_not(path("fifo")).find("it is a fifo, not"), std::string::npos);
  EXPECT_NE(why_not(path("link")).find("a symbolic link, and those are not followed"), std::string::npos);
}

TEST_F(DeviceByPath, ASocketIsNamed) {
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path("socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_NE(why_not(path("socket")).find("it is a socket, not"), std::string::npos);
}

TEST_F(DeviceByPath, ALinkIsNotFollowedWhereverItLeads) {
  for (const char* target : {"/dev/null", "/dev/net/tun", "nowhere", "."}) {
    ASSERT_EQ(symlink(target, path("link").c_str()), 0);
    EXPECT_NE(why_not(path("link")).find("symbolic link"), std::string::npos) << target;
    unlink(path("link").c_str());
  }
}

TEST_F(DeviceByPath, AFifoIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_NE(why_not(path("fifo")), "");  // an open(2) for reading would wait for a writer
}

TEST_F(DeviceByPath, ACharacterDeviceOfNoMacvtapIsToldByItsNumber) {
  const std::string why = why_not("/dev/null");
  EXPECT_NE(why.find("it is character device 1:3, not the"), std::string::npos) << why;
}

TEST_F(DeviceByPath, TheTunDeviceIsSaidToMakeTaps) {
  if (access("/dev/net/tun", F_OK) != 0) GTEST_SKIP() << "kernel: no /dev/net/tun";
  EXPECT_EQ(why_not("/dev/net/tun"),
            "open device /dev/net/tun: it makes taps, and is none itself; ask for tap, or for tap=NAME");
}

TEST_F(DeviceByPath, WhatIsNotThereOrOutOfReachKeepsItsErrno) {
  make("file");
  Rtnl rtnl = Rtnl::open().value();
  EXPECT_EQ(find_device(rtnl, path("none")).error().code(), ENOENT);
  EXPECT_EQ(find_device(rtnl, path("file") + "/below").error().code(), ENOTDIR);
  EXPECT_EQ(find_device(rtnl, "/" + std::string(5000, 'x')).error().code(), ENAMETOOLONG);
}

TEST(DeviceByName, ATapIsToldToBeAskedForAsOne) {
  TapCase::run([](TapCase& tap) {
    const Result<Device> found = find_device(tap.rtnl, "tap7");
    ASSERT_FALSE(found.is_ok());
    EXPECT_EQ(found.error().line(), "open device tap7: it is a tap; ask for tap=tap7");
  });
}

TEST(DeviceByName, AnIndexIsDigitsOnly) {
  TapCase::run([](TapCase& tap) {
    const std::string index = std::to_string(tap.tap.index);
    EXPECT_EQ(find_device(tap.rtnl, index).error().object(), "tap7");
    const std::vector<std::string> others = {"0" + index, "+" + index, index + " ", "-" + index, "0", "99999999999"};
    for (const std::string& which : others) {
      EXPECT_EQ(find_device(tap.rtnl, which).error().code(), ENODEV) << which;
    }
  });
}

TEST(DeviceByName, TapAndANumberIsThatInterfaceUnlessOneHasTheName) {
  TapCase::run([](TapCase& tap) {
    // "tap7" is the tap's name, whatever interface is number 7.
    EXPECT_EQ(find_device(tap.rtnl, "tap7").error().object(), "tap7");
    EXPECT_EQ(find_device(tap.rtnl, "tap" + std::to_string(tap.tap.index)).error().object(), "tap7");
    EXPECT_EQ(find_device(tap.rtnl, "tap1").error().object(), "lo");
    for (const char* which : {"tap", "tap01", "tapx", "tap99999", "tap1x", "vtap1"}) {
      EXPECT_EQ(find_device(tap.rtnl, which).error().code(), ENODEV) << which;
    }
  });
}

TEST(DeviceByName, AnythingElseIsNamed) {
  TapCase::run([](TapCase& tap) {
    EXPECT_EQ(find_device(tap.rtnl, "lo").error().line(),
              "open device lo: it is hardware, or the loopback, no macvtap");
    TapCase::command("ip link add br7 type bridge");
    EXPECT_EQ(find_device(tap.rtnl, "br7").error().line(), "open device br7: it is of kind bridge, no macvtap");
  });
}

TEST(DeviceNames, AreAllThatARuleCanSay) {
  TapCase::run([](TapCase& tap) {
    const auto names = [&](const char* name, int index) {
      Device device;
      device.link.name = name;
      device.link.index = index;
      const std::vector<std::string> all = names_of(tap.rtnl, device);
      return std::set<std::string>(all.begin(), all.end());
    };
    EXPECT_EQ(names("mvtap0", 5), (std::set<std::string>{"mvtap0", "5", "/dev/tap5", "tap5"}));
    // Here tap7 means another interface.
    EXPECT_EQ(names("mvtap0", 7), (std::set<std::string>{"mvtap0", "7", "/dev/tap7"}));
    // An interface that is named by a number isn't meant by it: the one with that index is.
    EXPECT_EQ(names("6", 5), (std::set<std::string>{"5", "/dev/tap5", "tap5"}));
  });
}

TEST(Sysfs, OfAnotherNamespaceIsNotBelieved) {
  TapCase::run([](TapCase& tap) {
    // The thread is in a new network namespace, /sys is as it was.
    const Status status = check_sysfs("tap7", tap.tap.index);
    ASSERT_FALSE(status.is_ok());
    EXPECT_NE(status.error().line().find("it shows another network namespace"), std::string::npos);
  });
}

TEST(Sysfs, OfThisNamespaceIs) {
  Rtnl rtnl = Rtnl::open().value();
  if (!check_sysfs("lo", get_link(rtnl, "lo").value().index).is_ok()) GTEST_SKIP() << "/sys is another namespace's";
  EXPECT_FALSE(check_sysfs("lo", 4711).is_ok());
  EXPECT_FALSE(check_sysfs("tapferry-none", 1).is_ok());
}

}  // namespace
}  // namespace tapferry
