// SPDX-License-Identifier: MIT
//
// The socket at which front-ends connect: what may be in its way, and what is left of it.
#include "vhost/listen.h"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

class ListenTest : public testing::Test {
 protected:
  ListenTest() : path_(testing::TempDir() + "/vhost-" + std::to_string(getpid())) { unlink(path_.c_str()); }
  ~ListenTest() override { unlink(path_.c_str()); }

  bool exists() const { return access(path_.c_str(), F_OK) == 0; }
  Fd connect() const {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fd();
    return fd;
  }

  std::string path_;
};

TEST_F(ListenTest, ListensForItsUserOnlyAndIsRemoved) {
  {
    const FrontEndSocket socket = FrontEndSocket::listen_at(path_).value();
    struct stat status;
    ASSERT_EQ(lstat(path_.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    EXPECT_TRUE(socket.is_listening());
    EXPECT_FALSE(socket.accept().value().is_open()) << "it doesn't wait";
    const Fd client = connect();
    ASSERT_TRUE(client.is_open());
    const Fd accepted = socket.accept().value();
    ASSERT_TRUE(accepted.is_open());
    EXPECT_NE(fcntl(accepted.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_FALSE(exists());
}

TEST_F(ListenTest, LeftSocketIsReplaced) {
  {
    Fd left(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(left.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(exists());
  const auto socket = FrontEndSocket::listen_at(path_);
  ASSERT_TRUE(socket.is_ok());
  EXPECT_TRUE(connect().is_open());
}

TEST_F(ListenTest, SocketAtWhichSomebodyListensStays) {
  const FrontEndSocket first = FrontEndSocket::listen_at(path_).value();
  const auto second = FrontEndSocket::listen_at(path_);
  ASSERT_FALSE(second.is_ok());
  EXPECT_EQ(second.error().line(), "listen at " + path_ + ": another program listens there");
  EXPECT_TRUE(connect().is_open());
}

TEST_F(ListenTest, AnythingElseStays) {
  std::ofstream(path_) << "precious";
  const auto socket = FrontEndSocket::listen_at(path_);
  ASSERT_FALSE(socket.is_ok());
  EXPECT_NE(socket.error().line().find("isn't a socket"), std::string::npos);
  EXPECT_TRUE(exists());
}

TEST_F(ListenTest, SocketOfSomebodyElseStaysInTheEnd) {
  {
    const auto ours = FrontEndSocket::listen_at(path_);
    ASSERT_TRUE(ours.is_ok());
    ASSERT_EQ(unlink(path_.c_str()), 0);
    std::ofstream(path_) << "theirs";
  }
  EXPECT_TRUE(exists());
}

TEST_F(ListenTest, PathsThatDoNotFitAreRefused) {
  EXPECT_FALSE(FrontEndSocket::listen_at("").is_ok());
  const auto longest = FrontEndSocket::listen_at("/tmp/" + std::string(120, 'x'));
  ASSERT_FALSE(longest.is_ok());
  EXPECT_NE(longest.error().line().find("1 to 107 bytes"), std::string::npos);
}

TEST_F(ListenTest, FolderIsWhereSomethingIsToBeRemoved) {
  EXPECT_EQ(FrontEndSocket::listen_at(path_).value().folder() + path_.substr(path_.rfind('/')), path_);
}

// What a caller passes is not close-on-exec.
Fd inheritable(Fd fd) {
  fcntl(fd.get(), F_SETFD, 0);
  return fd;
}

TEST_F(ListenTest, InheritedSocketListensOrIsConnected) {
  auto pair = socket_pair(SOCK_STREAM);
  Fd connected = inheritable(std::move(pair.value().first));
  FrontEndSocket one = FrontEndSocket::from_fd(connected.release()).value();
  EXPECT_FALSE(one.is_listening());
  EXPECT_TRUE(one.take_connection().is_open());
  EXPECT_EQ(one.folder(), "");

  Fd listener(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  {
    const FrontEndSocket other = FrontEndSocket::from_fd(listener.release()).value();
    EXPECT_TRUE(other.is_listening());
  }
  EXPECT_TRUE(exists()) << "it is its maker's to remove";
}

TEST_F(ListenTest, InheritedDescriptorMustBeAStreamSocket) {
  EXPECT_FALSE(FrontEndSocket::from_fd(999).is_ok());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  EXPECT_FALSE(FrontEndSocket::from_fd(ends[0]).is_ok());
  const Fd datagram(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_NE(FrontEndSocket::from_fd(datagram.get()).error().line().find("stream"), std::string::npos);
  const Fd internet(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_FALSE(internet.is_open() && FrontEndSocket::from_fd(internet.get()).is_ok());
  const Fd neither(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_NE(FrontEndSocket::from_fd(neither.get()).error().line().find("neither listens"), std::string::npos);
  const Fd ours(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(FrontEndSocket::from_fd(ours.get()).error().code(), EBADF);
}

}  // namespace
}  // namespace tapferry
