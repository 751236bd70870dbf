// SPDX-License-Identifier: MIT
#include "broker/varlink.h"

#include <gtest/gtest.h>

#include "broker/methods.h"

namespace tapferry {
namespace {

using std::string_literals::operator""s;

Call call_of(const std::string& text) {
  auto call = parse_call(text);
  EXPECT_TRUE(call.is_ok()) << text;
  return std::move(call).value();
}

std::string reply_of(const std::string& text) {
  Handled handled = handle_call(call_of(text), 1000);
  EXPECT_TRUE(handled.reply.has_value()) << text;
  return handled.reply ? handled.reply->message : "";
}

TEST(MessageReader, GivesWholeMessagesHoweverTheyCome) {
  MessageReader reader;
  EXPECT_TRUE(reader.add("{\"a\"").is_ok());
  EXPECT_FALSE(reader.take());
  EXPECT_TRUE(reader.has_part());
  EXPECT_TRUE(reader.add(":1}\0{}\0{"s).is_ok());
  EXPECT_EQ(reader.take(), "{\"a\":1}");
  EXPECT_EQ(reader.take(), "{}");
  EXPECT_FALSE(reader.take());
  EXPECT_TRUE(reader.has_part());
}

TEST(MessageReader, RefusesACallThatIsTooLongBeforeItsEnd) {
  MessageReader reader;
  EXPECT_TRUE(reader.add(std::string(kMaxCallBytes, 'x')).is_ok());
  EXPECT_FALSE(reader.add("x").is_ok());
}

TEST(ParseCall, ReadsMethodParametersAndFlags) {
  const Call call = call_of(R"({"method":"org.tapferry.Broker.Open","parameters":{"net":"tap"},"oneway":true})");
  EXPECT_EQ(call.interface(), "org.tapferry.Broker");
  EXPECT_EQ(call.member(), "Open");
  EXPECT_EQ(string_parameter(call, "net").value(), "tap");
  EXPECT_TRUE(call.is_oneway);
  EXPECT_FALSE(call.has_upgrade);
}

TEST(ParseCall, RefusesWhatIsNoCall) {
  for (const char* text :
       {R"({})", R"({"method":1})", R"({"method":"a.b","parameters":[]})", R"({"method":"a.b","more":1})",
        R"({"method":"\ud800"})", R"({"method" "a"})", R"({"method":"a.b","method":"a.c"})", R"([{"method":"a.b"}])"}) {
    EXPECT_FALSE(parse_call(text).is_ok()) << text;
  }
}

TEST(HandleCall, SendsAnErrandForOpenAndExplain) {
  const Handled open =
      handle_call(call_of(R"({"method":"org.tapferry.Broker.Open","parameters":{"net":"tap"}})"), 1000);
  ASSERT_TRUE(open.errand.has_value());
  EXPECT_EQ(open.errand->text, "tap");
  EXPECT_EQ(open.errand->kind, LaunchKind::kOpen);
  const Handled explain =
      handle_call(call_of(R"({"method":"org.tapferry.Broker.Explain","parameters":{"net":"tap"}})"), 1000);
  ASSERT_TRUE(explain.errand.has_value());
  EXPECT_EQ(explain.errand->kind, LaunchKind::kExplain);
}

TEST(HandleCall, AnswersWithVarlinksOwnErrors) {
  EXPECT_EQ(reply_of(R"({"method":"a.b.C"})"),
            R"({"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"a.b"}})"s + '\0');
  EXPECT_EQ(reply_of(R"({"method":"org.tapferry.Broker.Open","upgrade":true,"parameters":{"net":"tap"}})"),
            R"({"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"upgrade"}})"s + '\0');
}

TEST(ReplyTo, TellsARefusalFromAFailureByTheHelpersWords) {
  const auto error_of = [](const char* words) { return reply_to(LaunchKind::kOpen, Error("get", "", words)).message; };
  EXPECT_NE(error_of("tapferry-helper: access denied by acl file: x").find("org.tapferry.Broker.Refused"),
            std::string::npos);
  EXPECT_NE(error_of("tapferry-helper: open /dev/net/tun: x").find("org.tapferry.Broker.Failed"), std::string::npos);
}

}  // namespace
}  // namespace tapferry
