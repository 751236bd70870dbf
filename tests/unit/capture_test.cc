// SPDX-License-Identifier: MIT
#include "vhost/capture.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

class CaptureFile : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override {
    unlink(path().c_str());
    rmdir(folder_.c_str());
  }

  std::string path() const { return folder_ + "/guest.pcap"; }
  std::string content() const { return read_all(open_file(path(), O_RDONLY).value().get(), 1 << 20, path()).value(); }

  std::string folder_ = "/tmp/tapferry-capture-XXXXXX";
};

struct Record {
  uint32_t captured = 0;
  uint32_t original = 0;
  std::string frame;
};

std::vector<Record> records_in(const std::string& file) {
  std::vector<Record> records;
  for (size_t at = 24; at + 16 <= file.size();) {
    Record record;
    memcpy(&record.captured, &file[at + 8], 4);
    memcpy(&record.original, &file[at + 12], 4);
    record.frame = file.substr(at + 16, record.captured);
    at += 16 + record.captured;
    records.push_back(record);
  }
  return records;
}

iovec piece(std::string& bytes) { return {bytes.data(), bytes.size()}; }

TEST_F(CaptureFile, HoldsFramesWithoutTheirHeaderFromAnyPieces) {
  {
    const auto capture = std::move(Capture::create(path())).value();
    std::string all = "HEADERHEADERframe";
    std::array<iovec, 1> one = {piece(all)};
    capture->on_frame(one.data(), 1, 12, 5);
    std::string header = "HEADERHEADER";
    std::string begin = "fra";
    std::string end = "me and what isn't of it";
    std::array<iovec, 3> three = {piece(header), piece(begin), piece(end)};
    capture->on_frame(three.data(), 3, 12, 5);
    std::string mixed = "HEADERHEAD";
    std::string rest = "ERframe";
    std::array<iovec, 2> two = {piece(mixed), piece(rest)};
    capture->on_frame(two.data(), 2, 12, 5);
    capture->on_frame(two.data(), 2, 12, 100);
  }
  const auto records = records_in(content());
  ASSERT_EQ(records.size(), 4u);
  for (const Record& record : records) {
    EXPECT_EQ(record.frame, "frame");
    EXPECT_EQ(record.captured, 5u);
    EXPECT_EQ(record.original, 5u);
  }
}

TEST_F(CaptureFile, IsWholeWhateverThreadsWriteIt) {
  {
    const auto capture = std::move(Capture::create(path())).value();
    std::vector<std::thread> threads;
    for (char letter = 'a'; letter < 'e'; ++letter) {
      threads.emplace_back([&capture, letter] {
        std::string bytes(12 + 100, letter);
        std::array<iovec, 1> pieces = {piece(bytes)};
        for (int i = 0; i < 200; ++i) capture->on_frame(pieces.data(), 1, 12, 100);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const auto records = records_in(content());
  EXPECT_EQ(records.size(), 800u);
  for (const Record& record : records) EXPECT_EQ(record.frame, std::string(100, record.frame.at(0)));
}

TEST_F(CaptureFile, IsNotWrittenOverAnother) {
  ASSERT_TRUE(Capture::create(path()).is_ok());
  const auto again = Capture::create(path());
  ASSERT_FALSE(again.is_ok());
  EXPECT_EQ(again.error().code(), EEXIST);
  EXPECT_FALSE(again.error().hint().empty());
}

TEST_F(CaptureFile, EndsWithOneLineWhenNothingMoreFits) {
  // In a process whose files don't grow beyond the capture's own header; the signal for that is the program's to ignore.
  std::array<int, 2> lines;
  ASSERT_EQ(pipe2(lines.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    dup2(lines[1], STDERR_FILENO);
    const auto capture = Capture::create(path());
    const rlimit small = {24, 24};
    if (!capture.is_ok() || setrlimit(RLIMIT_FSIZE, &small) != 0) _exit(1);
    std::string bytes(100, 'x');
    std::array<iovec, 1> pieces = {piece(bytes)};
    for (int i = 0; i < 3; ++i) capture.value()->on_frame(pieces.data(), 1, 12, 88);
    _exit(0);
  }
  close(lines[1]);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const Fd reader(lines[0]);
  const std::string text = read_all(reader.get(), 4096, "the pipe").value();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_NE(text.find("the session goes on"), std::string::npos) << text;
  EXPECT_EQ(content().size(), 24u);
}

}  // namespace
}  // namespace tapferry
