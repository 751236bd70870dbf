// SPDX-License-Identifier: MIT
#include "net/json_object.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tapferry {
namespace {

using std::string_literals::operator""s;

std::string reason(std::string_view text, int max_depth = 4) {
  const auto object = parse_json_object(text, max_depth);
  return object.is_ok() ? "" : object.error().reason();
}

TEST(ParseJsonObject, FindsMembersByTheirType) {
  const Json object = parse_json_object(R"({"a":null,"b":"x","c":{"d":"y"},"e":-120} )", 4).value();
  EXPECT_TRUE(find_member(&object, "a")->is_null());
  EXPECT_EQ(*find_text(&object, "b"), "x");
  EXPECT_EQ(*find_text(find_object(&object, "c"), "d"), "y");
  EXPECT_EQ(*find_member(&object, "e"), -120);
  EXPECT_EQ(find_object(&object, "b"), nullptr);
  EXPECT_EQ(find_text(&object, "c"), nullptr);
  EXPECT_EQ(find_member(&object, "z"), nullptr);
  EXPECT_EQ(find_text(nullptr, "b"), nullptr);
  EXPECT_EQ(find_member(find_member(&object, "b"), "x"), nullptr);
}

TEST(ParseJsonObject, WhatIsNoObjectIsAnError) {
  for (const std::string& text : {""s,
                                  " {}"s,
                                  "[]"s,
                                  "1"s,
                                  "{"s,
                                  "{}}"s,
                                  "{} {}"s,
                                  "{}x"s,
                                  "{\"a\":01}"s,
                                  "{\"a\":.5}"s,
                                  "{\"a\":1,}"s,
                                  "{,}"s,
                                  "{a:1}"s,
                                  "{'a':1}"s,
                                  "{\"a\" 1}"s,
                                  "{\"a\":nul}"s,
                                  "{\"a\":NaN}"s,
                                  "{\"a\":1e999}"s,
                                  "{/*x*/}"s,
                                  "{}//x"s,
                                  "\xef\xbb\xbf{}"s,
                                  "{\"a\":\"\\x\"}"s,
                                  "{\"a\":\"\\u12\"}"s,
                                  "{\"a\":\"\n\"}"s,
                                  "{\"a\""s + '\0' + "}"}) {
    EXPECT_NE(reason(text), "") << text;
  }
}

TEST(ParseJsonObject, StringsAreUtf8WithoutZeros) {
  const Json object = parse_json_object(R"({"a":"\u00e9\ud83d\ude00\n"})", 1).value();
  EXPECT_EQ(*find_text(&object, "a"), "\xc3\xa9\xf0\x9f\x98\x80\n");
  for (const char* text : {R"({"a":"\u0000"})", R"({"\u0000":1})", R"({"a":["\u0000"]})"}) {
    EXPECT_EQ(reason(text), "a string has a zero in it") << text;
  }
  for (const char* text :
       {"\xff", "\xed\xa0\x80", "\xc0\x80", "\xe2\x82", R"(\ud800)", R"(\udc00)", R"(\ud800\u0041)"}) {
    EXPECT_NE(reason("{\"a\":\""s + text + "\"}"), "") << text;
  }
}

TEST(ParseJsonObject, KeysAreThereOnce) {
  EXPECT_EQ(reason(R"({"a":1,"b":2,"a":3})"), "it has a key twice");
  EXPECT_EQ(reason(R"({"a":1,"\u0061":3})"), "it has a key twice");
  EXPECT_EQ(reason(R"({"b":[{"a":1,"a":1}]})"), "it has a key twice");
  EXPECT_EQ(reason(R"({"a":{"a":1},"b":[{"a":1},{"a":1}]})"), "");
}

TEST(ParseJsonObject, DepthIsLimited) {
  const auto nested = [](size_t depth) { return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_EQ(reason(nested(3), 4), "");
  EXPECT_EQ(reason(nested(4), 4), "nested too deep");
  EXPECT_EQ(reason(R"({"a":{}})", 1), "nested too deep");
  EXPECT_EQ(reason("{}", 1), "");
  EXPECT_EQ(reason(nested(100000)), "nested too deep");
}

TEST(ToText, IsOneLineOfUtf8WithItsKeysInOrder) {
  EXPECT_EQ(to_text({{"b", 1}, {"a", "x\ny"}, {"c", nullptr}}), R"({"b":1,"a":"x\ny","c":null})");
  EXPECT_EQ(to_text({{"a", "\xff"}}), "{\"a\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace tapferry
