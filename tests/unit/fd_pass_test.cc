// SPDX-License-Identifier: MIT
#include "base/fd_pass.h"

#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

// Inherited by whoever is executed, as a helper's socket is.
void inherit(const Fd& fd) { fcntl(fd.get(), F_SETFD, 0); }

std::pair<Fd, Fd> pair_of(int type = SOCK_STREAM) { return socket_pair(type).value(); }

bool is_same_file(int first, int second) {
  struct stat a;
  struct stat b;
  return fstat(first, &a) == 0 && fstat(second, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

TEST(SocketPair, IsCloseOnExec) {
  const auto [a, b] = pair_of();
  EXPECT_NE(fcntl(a.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fcntl(b.get(), F_GETFD) & FD_CLOEXEC, 0);
}

class FdPassTypes : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(FdPass, FdPassTypes, testing::Values(SOCK_STREAM, SOCK_SEQPACKET));

TEST_P(FdPassTypes, CarriesBytesAndDescriptors) {
  const auto [ours, theirs] = pair_of(GetParam());
  inherit(ours);
  ASSERT_TRUE(check_passing_socket(ours.get()).is_ok());
  const Fd null = open_file("/dev/null", O_RDONLY).value();
  const Fd zero = open_file("/dev/zero", O_RDONLY).value();
  const int fds[] = {null.get(), zero.get()};
  ASSERT_TRUE(send_with_fds(ours.get(), "hello", fds, 0).is_ok());
  const ReceivedMessage message = receive_with_fds(theirs.get(), 100).value();
  EXPECT_EQ(message.bytes, "hello");
  EXPECT_FALSE(message.is_truncated);
  ASSERT_EQ(message.fds.size(), 2u);
  EXPECT_TRUE(is_same_file(message.fds[0].get(), null.get()));
  EXPECT_TRUE(is_same_file(message.fds[1].get(), zero.get()));
  EXPECT_NE(fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_P(FdPassTypes, CarriesTheMostThatTheKernelTakes) {
  const auto [ours, theirs] = pair_of(GetParam());
  const Fd null = open_file("/dev/null", O_RDONLY).value();
  const std::vector<int> fds(kMaxPassedFds, null.get());
  ASSERT_TRUE(send_with_fds(ours.get(), std::string(kMaxPassedBytes, 'x'), fds, 0).is_ok());
  const ReceivedMessage message = receive_with_fds(theirs.get(), kMaxPassedBytes).value();
  EXPECT_EQ(message.bytes.size(), kMaxPassedBytes);
  EXPECT_EQ(message.fds.size(), kMaxPassedFds);
}

TEST_P(FdPassTypes, EndOfThePeerIsAnEmptyMessage) {
  auto [ours, theirs] = pair_of(GetParam());
  ours.reset();
  const ReceivedMessage message = receive_with_fds(theirs.get(), 100).value();
  EXPECT_TRUE(message.bytes.empty());
  EXPECT_TRUE(message.fds.empty());
}

TEST_P(FdPassTypes, PeerThatIsGoneIsAnErrorAndNoSignal) {
  auto [ours, theirs] = pair_of(GetParam());
  theirs.reset();
  EXPECT_EQ(send_with_fds(ours.get(), "x", {}, 0).error().code(), EPIPE);
}

TEST_P(FdPassTypes, FullBufferIsWaitedForAndThenAnError) {
  const auto [ours, theirs] = pair_of(GetParam());
  const std::string bytes(kMaxPassedBytes, 'x');
  Status status;
  for (int i = 0; i < 10000 && status.is_ok(); ++i) status = send_with_fds(ours.get(), bytes, {}, 0);
  EXPECT_EQ(status.error().code(), ETIMEDOUT);
}

TEST_P(FdPassTypes, FullBufferThatDrainsTakesTheMessage) {
  const auto [ours, theirs] = pair_of(GetParam());
  const std::string bytes(kMaxPassedBytes, 'x');
  int sent = 0;
  while (send_with_fds(ours.get(), bytes, {}, 0).is_ok()) ++sent;
  std::thread reader([&, from = theirs.get()] {
    usleep(20000);
    for (int i = 0; i < sent; ++i) (void)receive_with_fds(from, kMaxPassedBytes).is_ok();
  });
  EXPECT_TRUE(send_with_fds(ours.get(), bytes, {}, 5000).is_ok());
  reader.join();
}

TEST(SendWithFds, RefusesWhatCannotBeOneMessage) {
  const auto [ours, theirs] = pair_of();
  const std::vector<int> fds(kMaxPassedFds + 1, 0);
  EXPECT_EQ(send_with_fds(ours.get(), "", {}, 0).error().code(), EINVAL);
  EXPECT_EQ(send_with_fds(ours.get(), "x", fds, 0).error().code(), EINVAL);
  EXPECT_EQ(send_with_fds(ours.get(), std::string(kMaxPassedBytes + 1, 'x'), {}, 0).error().code(), EINVAL);
}

TEST(SendWithFds, DescriptorThatIsNoneSendsNothing) {
  const auto [ours, theirs] = pair_of();
  const int fds[] = {-1};
  EXPECT_EQ(send_with_fds(ours.get(), "x", fds, 0).error().code(), EBADF);
  ASSERT_TRUE(set_nonblocking(theirs.get(), true).is_ok());
  EXPECT_EQ(receive_with_fds(theirs.get(), 1).error().code(), EAGAIN);
}

TEST(ReceiveWithFds, SaysWhenBytesOfADatagramAreLost) {
  const auto [ours, theirs] = pair_of(SOCK_SEQPACKET);
  ASSERT_TRUE(send_with_fds(ours.get(), "hello", {}, 0).is_ok());
  const ReceivedMessage message = receive_with_fds(theirs.get(), 2).value();
  EXPECT_EQ(message.bytes, "he");
  EXPECT_TRUE(message.is_truncated);
}

TEST(CheckPassingSocket, RefusesWhatIsNone) {
  const Fd file = open_file("/dev/null", O_RDONLY).value();
  const auto [datagram, other] = pair_of(SOCK_DGRAM);
  const Fd inet(socket(AF_INET, SOCK_STREAM, 0));
  const Fd unconnected(socket(AF_UNIX, SOCK_STREAM, 0));
  for (const Fd* fd : {&file, &datagram, &inet, &unconnected}) {
    inherit(*fd);
    EXPECT_FALSE(check_passing_socket(fd->get()).is_ok());
  }
  EXPECT_EQ(check_passing_socket(-1).error().code(), EBADF);
}

TEST(CheckPassingSocket, RefusesOneOfThisProcessItself) {
  const auto [ours, theirs] = pair_of();
  EXPECT_EQ(check_passing_socket(ours.get()).error().code(), EBADF);
}

}  // namespace
}  // namespace tapferry
