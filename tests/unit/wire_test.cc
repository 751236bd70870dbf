// SPDX-License-Identifier: MIT
//
// Messages between the helper's own processes, over real sockets: whole or an error.
#include "net/wire.h"

#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

using Fields = std::vector<std::string>;

struct Pair {
  Fd ours, theirs;
};

Pair pair() {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET).value();
  return {std::move(ours), std::move(theirs)};
}

void send_bytes(const Fd& socket, std::string_view bytes) {
  ASSERT_EQ(send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

TEST(Wire, FieldsArriveAsTheyWereSent) {
  const auto [ours, theirs] = pair();
  const Fields fields = {"make", "", "a b", "\xff\n", ""};
  ASSERT_TRUE(send_fields(ours.get(), fields).is_ok());
  EXPECT_EQ(receive_fields(theirs.get(), 1000).value().fields, fields);
}

TEST(Wire, OneReceiveIsOneMessage) {
  const auto [ours, theirs] = pair();
  ASSERT_TRUE(send_fields(ours.get(), {"first"}).is_ok());
  ASSERT_TRUE(send_fields(ours.get(), {"second", "one"}).is_ok());
  EXPECT_EQ(receive_fields(theirs.get(), 1000).value().fields, Fields{"first"});
  EXPECT_EQ(receive_fields(theirs.get(), 1000).value().fields, (Fields{"second", "one"}));
}

TEST(Wire, DescriptorsComeAlong) {
  const auto [ours, theirs] = pair();
  const Fd null = open_file("/dev/null", O_RDONLY).value();
  const int fds[] = {null.get(), null.get()};
  ASSERT_TRUE(send_fields(ours.get(), {"made", "7"}, fds).is_ok());
  const WireMessage message = receive_fields(theirs.get(), 1000).value();
  ASSERT_EQ(message.fds.size(), 2u);
  EXPECT_EQ(fcntl(message.fds[1].get(), F_GETFD), FD_CLOEXEC);
}

TEST(Wire, AFieldWithAZeroByteIsNotSent) {
  const auto [ours, theirs] = pair();
  EXPECT_EQ(send_fields(ours.get(), {std::string("a\0b", 3)}).error().code(), EINVAL);
}

TEST(Wire, AMessageThatIsNotWholeIsAnError) {
  const auto [ours, theirs] = pair();
  for (const std::string& bytes : {std::string("no end"), std::string("one\0two", 7)}) {
    send_bytes(ours, bytes);
    EXPECT_EQ(receive_fields(theirs.get(), 1000).error().code(), EBADMSG);
  }
  send_bytes(ours, std::string(kMaxPassedBytes + 1, '\0'));
  EXPECT_EQ(receive_fields(theirs.get(), 1000).error().code(), EMSGSIZE);
}

TEST(Wire, TheEndOfThePeerIsAMessageWithoutFields) {
  auto [ours, theirs] = pair();
  ours.reset();
  EXPECT_TRUE(receive_fields(theirs.get(), 1000).value().fields.empty());
  EXPECT_EQ(ask(theirs.get(), {"hello"}, 1000).error().code(), EPIPE);
}

TEST(Wire, NobodyIsWaitedForLongerThanSaid) {
  const auto [ours, theirs] = pair();
  EXPECT_EQ(receive_fields(theirs.get(), 1).error().code(), ETIMEDOUT);
  EXPECT_EQ(ask(theirs.get(), {"hello"}, 1).error().code(), ETIMEDOUT);
}

// What ask() makes of an answer.
Result<WireMessage> asked(const Fields& answer) {
  auto [ours, theirs] = pair();
  EXPECT_TRUE(send_fields(theirs.get(), answer).is_ok());
  return ask(ours.get(), {"hello"}, 1000);
}

TEST(Wire, AnErrorArrivesAsItWasMade) {
  const Error errors[] = {
      Error::from_errno("open", "the node", EACCES),
      Error::from_errno("open", "the node", EACCES).with_hint("is it nodev?"),
      Error("make", "it", "of a reason").with_hint("do this"),
      Error::from_errno("create", "it", EEXIST).with_reason("an interface of that name exists"),
      Error("", "", ""),
  };
  for (const Error& error : errors) {
    const Result<WireMessage> answer = asked(error_fields(error));
    ASSERT_FALSE(answer.is_ok());
    EXPECT_EQ(answer.error().line(), error.line());
    EXPECT_EQ(answer.error().code(), error.code());
    EXPECT_EQ(answer.error().hint(), error.hint());
  }
}

TEST(Wire, AnErrorWithMoreThanFitsOrZeroBytesArrivesShorter) {
  const std::string text(100000, 'x');
  const Result<WireMessage> answer = asked(error_fields(Error(text, text, text).with_hint(text)));
  ASSERT_FALSE(answer.is_ok());
  EXPECT_EQ(answer.error().reason(), std::string(400, 'x'));
  EXPECT_EQ(asked(error_fields(Error("a", std::string("b\0c", 3), "d"))).error().object(), "b?c");
}

TEST(Wire, AnErrorThatIsNoneIsAnErrorToo) {
  EXPECT_EQ(asked({"error"}).error().code(), EBADMSG);
  EXPECT_EQ(asked({"error", "2", "a", "b", "c"}).error().code(), EBADMSG);
  EXPECT_EQ(asked({"error", "two", "a", "b", "c", "d"}).error().reason(), "c");
  EXPECT_EQ(asked({"error", "99999", "a", "b", "c", "d"}).error().code(), 0);
}

TEST(Wire, AnyOtherAnswerIsTheCallersToUnderstand) {
  EXPECT_EQ(asked({"ok"}).value().fields, Fields{"ok"});
  EXPECT_EQ(asked({"made", "x"}).value().fields, (Fields{"made", "x"}));
}

}  // namespace
}  // namespace tapferry
