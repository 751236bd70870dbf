// SPDX-License-Identifier: MIT
#include "base/syscall.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tapferry {
namespace {

TEST(OpenFile, IsCloseOnExecAndNamesThePathInErrors) {
  const Result<Fd> good = open_file("/dev/null", O_RDONLY);
  ASSERT_TRUE(good.is_ok());
  EXPECT_NE(fcntl(good.value().get(), F_GETFD) & FD_CLOEXEC, 0);
  const Result<Fd> bad = open_file("/nonexistent", O_RDONLY);
  EXPECT_EQ(bad.error().line(), "open /nonexistent: No such file or directory");
}

TEST(ReadAll, ReadsToTheEndOrSaysThatItIsTooLong) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  ASSERT_TRUE(write_all(writer.get(), std::string(9000, 'x'), "pipe").is_ok());
  writer.reset();
  EXPECT_EQ(read_all(reader.get(), 9000, "pipe").value().size(), 9000u);
  const Fd zero = open_file("/dev/zero", O_RDONLY).value();
  EXPECT_EQ(read_all(zero.get(), 100, "zero").error().line(), "read zero: longer than 100 bytes");
}

TEST(WriteAll, NamesWhatCouldNotBeWritten) {
  const Fd full = open_file("/dev/full", O_WRONLY).value();
  EXPECT_EQ(write_all(full.get(), "x", "the disk").error().line(), "write the disk: No space left on device");
}

TEST(SetNonblocking, TurnsItOnAndOff) {
  const auto pair = socket_pair(SOCK_STREAM).value();
  const int fd = pair.first.get();
  ASSERT_TRUE(set_nonblocking(fd, true).is_ok());
  EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  ASSERT_TRUE(set_nonblocking(fd, false).is_ok());
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_FALSE(set_nonblocking(-1, true).is_ok());
}

}  // namespace
}  // namespace tapferry
