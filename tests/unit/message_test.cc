// SPDX-License-Identifier: MIT
//
// Messages on a socket: framing, descriptors, and peers that stop in the middle.
#include "vhost/message.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kReply = 4;
constexpr uint32_t kNeedReply = 8;

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

std::string bytes_of(uint32_t request, uint32_t flags, const std::string& payload, uint32_t size) {
  const uint32_t header[] = {request, flags, size};
  return std::string(reinterpret_cast<const char*>(header), sizeof header) + payload;
}

class MessageTest : public testing::Test {
 protected:
  MessageTest() {
    auto pair = socket_pair(SOCK_STREAM);
    ours_ = std::move(pair.value().first);
    theirs_ = std::move(pair.value().second);
  }
  void send(const std::string& bytes, unsigned fd_count = 0) {
    std::vector<Fd> fds;
    std::vector<int> numbers;
    for (unsigned i = 0; i < fd_count; ++i) {
      fds.emplace_back(eventfd(0, EFD_CLOEXEC));
      numbers.push_back(fds.back().get());
    }
    ASSERT_TRUE(send_with_fds(theirs_.get(), bytes, numbers, 1000).is_ok());
  }
  Result<MessageReader::Seen> read_once() { return reader_.read(ours_.get()); }
  // Until it is whole or wrong.
  Result<MessageReader::Seen> read() {
    for (;;) {
      auto seen = read_once();
      if (!seen.is_ok() || seen.value() != MessageReader::Seen::kPart || !reader_.has_more()) return seen;
    }
  }

  Fd ours_;
  Fd theirs_;
  MessageReader reader_;
};

TEST_F(MessageTest, ArrivesWithPayloadFlagsAndDescriptors) {
  send(bytes_of(12, kVersion | kNeedReply, std::string("\1\0\0\0\0\0\0\0", 8), 8), 1);
  ASSERT_EQ(read().value(), MessageReader::Seen::kMessage);
  const Message message = reader_.take();
  EXPECT_EQ(message.request, 12u);
  EXPECT_TRUE(message.needs_reply);
  EXPECT_EQ(PayloadReader(message.payload).u64(), 1u);
  ASSERT_EQ(message.fds.size(), 1u);
  EXPECT_NE(fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(MessageTest, WithoutPayloadIsWholeAfterItsHeader) {
  send(bytes_of(1, kVersion, "", 0));
  ASSERT_EQ(read().value(), MessageReader::Seen::kMessage);
  EXPECT_FALSE(reader_.take().needs_reply);
  EXPECT_EQ(read().value(), MessageReader::Seen::kPart);
}

TEST_F(MessageTest, TwoInOneWriteStayTwo) {
  send(bytes_of(1, kVersion, "", 0) + bytes_of(2, kVersion, "12345678", 8));
  ASSERT_EQ(read().value(), MessageReader::Seen::kMessage);
  EXPECT_EQ(reader_.take().request, 1u);
  ASSERT_EQ(read().value(), MessageReader::Seen::kMessage);
  const Message second = reader_.take();
  EXPECT_EQ(second.request, 2u);
  EXPECT_EQ(second.payload.size(), 8u);
}

TEST_F(MessageTest, ByteByByteIsStillOne) {
  const std::string bytes = bytes_of(8, kVersion, "abcdefgh", 8);
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_NE(reader_.timeout_ms(), 0);
    send(bytes.substr(i, 1));
    const auto seen = read();
    ASSERT_TRUE(seen.is_ok());
    EXPECT_EQ(seen.value(), i + 1 == bytes.size() ? MessageReader::Seen::kMessage : MessageReader::Seen::kPart);
  }
  EXPECT_EQ(reader_.take().payload.size(), 8u);
  EXPECT_EQ(reader_.timeout_ms(), -1);
}

TEST_F(MessageTest, HalfOfOneHasATimeLimit) {
  EXPECT_EQ(reader_.timeout_ms(), -1);
  send("\1\0\0");
  ASSERT_EQ(read().value(), MessageReader::Seen::kPart);
  EXPECT_GT(reader_.timeout_ms(), 0);
  EXPECT_LE(reader_.timeout_ms(), kHalfMessageMs);
  EXPECT_TRUE(reader_.check_overdue().is_ok());
}

TEST_F(MessageTest, EndOfTheConnectionIsNoErrorBetweenMessagesOnly) {
  theirs_.reset();
  EXPECT_EQ(read().value(), MessageReader::Seen::kClosed);
}

TEST_F(MessageTest, EndOfTheConnectionWithinAMessageIsAnError) {
  send(bytes_of(2, kVersion, "1234", 8));
  theirs_.reset();
  auto seen = read();
  while (seen.is_ok() && seen.value() == MessageReader::Seen::kPart) seen = read();
  ASSERT_FALSE(seen.is_ok());
  EXPECT_NE(seen.error().line().find("ended within a message"), std::string::npos);
}

TEST_F(MessageTest, AnotherVersionIsRefused) {
  for (const uint32_t flags : {0u, 2u, 3u}) {
    MessageReader fresh;
    send(bytes_of(1, flags, "", 0));
    const auto seen = fresh.read(ours_.get());
    ASSERT_FALSE(seen.is_ok());
    EXPECT_NE(seen.error().line().find("version"), std::string::npos);
  }
}

TEST_F(MessageTest, ReplyAndUnknownFlagsAreRefused) {
  for (const uint32_t flags : {kVersion | kReply, kVersion | 16, kVersion | 0x80000000u}) {
    MessageReader fresh;
    send(bytes_of(1, flags, "", 0));
    EXPECT_FALSE(fresh.read(ours_.get()).is_ok());
  }
}

TEST_F(MessageTest, PayloadHasALimit) {
  send(bytes_of(1, kVersion, "", kMaxPayloadBytes + 1));
  const auto seen = read();
  ASSERT_FALSE(seen.is_ok());
  EXPECT_NE(seen.error().line().find("4097 bytes"), std::string::npos);
}

TEST_F(MessageTest, MoreDescriptorsThanEightAreRefusedAndClosed) {
  const size_t before = open_descriptors();
  send(bytes_of(5, kVersion, "", 0), kMaxMessageFds + 1);
  {
    MessageReader fresh;
    EXPECT_FALSE(fresh.read(ours_.get()).is_ok());
  }
  EXPECT_EQ(open_descriptors(), before);
}

// Descriptors in small numbers with each byte of a message that never ends.
TEST_F(MessageTest, DescriptorsDoNotPileUpWithinAMessage) {
  const size_t before = open_descriptors();
  {
    MessageReader fresh;
    bool is_refused = false;
    for (int i = 0; i < 6 && !is_refused; ++i) {
      send("\1", 4);
      is_refused = !fresh.read(ours_.get()).is_ok();
    }
    EXPECT_TRUE(is_refused);
  }
  EXPECT_EQ(open_descriptors(), before);
}

// CVE-2019-14818: a back-end kept the descriptors of messages that it refused.
TEST_F(MessageTest, DescriptorsOfRefusedMessagesAreClosed) {
  const size_t before = open_descriptors();
  for (int i = 0; i < 100; ++i) {
    MessageReader fresh;
    send(bytes_of(5, 0, "", 0), 8);
    EXPECT_FALSE(fresh.read(ours_.get()).is_ok());
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(MessageTest, ReplyHasTheRequestsNumberAndTheReplyFlag) {
  const uint8_t payload[] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE(send_reply(ours_.get(), 17, payload).is_ok());
  char received[64];
  ASSERT_EQ(recv(theirs_.get(), received, sizeof received, 0), 20);
  uint32_t header[3];
  memcpy(header, received, sizeof header);
  EXPECT_EQ(header[0], 17u);
  EXPECT_EQ(header[1], kVersion | kReply);
  EXPECT_EQ(header[2], 8u);
  EXPECT_EQ(memcmp(received + 12, payload, 8), 0);
}

TEST_F(MessageTest, ReplyToWhoeverHasGoneIsAnErrorAndNoSignal) {
  theirs_.reset();
  const Status sent = send_reply(ours_.get(), 1, {});
  ASSERT_FALSE(sent.is_ok());
  EXPECT_EQ(sent.error().code(), EPIPE);
}

TEST(PayloadReaderTest, NumbersBehindTheEndAreZero) {
  const std::vector<uint8_t> bytes = {1, 0, 0, 0, 9, 9};
  PayloadReader reader(bytes);
  EXPECT_EQ(reader.u32(), 1u);
  EXPECT_EQ(reader.u64(), 0u);
  EXPECT_EQ(reader.u32(), 0u);
}

}  // namespace
}  // namespace tapferry
