// SPDX-License-Identifier: MIT
#include "net/json_value.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

std::string reason(std::string_view text, int max_depth = 4) {
  const auto value = parse_json(text, max_depth);
  return value.is_ok() ? "" : value.error().reason();
}

std::string text_of(std::string_view json) { return parse_json(json, 0).value().text; }

TEST(ParseJson, ReadsEveryType) {
  const JsonValue value =
      parse_json(R"( { "a" : null, "b":true,"c":false,"d":-120,"e":"x","f":[1, {"g":[]}],"h":{} } )", 4).value();
  ASSERT_TRUE(value.is_object());
  EXPECT_EQ(value.member("a")->type, JsonValue::Type::kNull);
  EXPECT_TRUE(value.member("b")->boolean);
  EXPECT_EQ(value.member("c")->type, JsonValue::Type::kBoolean);
  EXPECT_FALSE(value.member("c")->boolean);
  EXPECT_EQ(value.member("d")->number, -120);
  EXPECT_EQ(value.member("e")->text, "x");
  EXPECT_EQ(value.member("f")->items.at(0).number, 1);
  EXPECT_EQ(value.member("f")->items.at(1).member("g")->type, JsonValue::Type::kArray);
  EXPECT_TRUE(value.member("h")->is_object());
  EXPECT_EQ(value.member("i"), nullptr);
  EXPECT_EQ(value.member("e")->member("x"), nullptr);
}

TEST(ParseJson, SaysFromWhichBytesItCame) {
  const std::string_view text = R"({"a": {"b" : 1} , "c":2})";
  const JsonValue value = parse_json(text, 2).value();
  EXPECT_EQ(value.source, text);
  EXPECT_EQ(value.member("a")->source, R"({"b" : 1})");
}

TEST(ParseJson, EscapesBecomeWhatTheyMean) {
  EXPECT_EQ(text_of(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(text_of(R"("\u0041\u00e9\u20AC\ud83d\ude00")"), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(text_of("\"\xc3\xa9\x7f\""), "\xc3\xa9\x7f");
}

TEST(ParseJson, NumbersAreWholeAndOf18DigitsAtMost) {
  EXPECT_EQ(parse_json("999999999999999999", 0).value().number, 999999999999999999);
  EXPECT_EQ(parse_json("-999999999999999999", 0).value().number, -999999999999999999);
  EXPECT_EQ(parse_json("0", 0).value().number, 0);
  EXPECT_EQ(reason("1000000000000000000"), "a number has too many digits");
  for (const char* text : {"1.0", "1e3", "1E3"}) EXPECT_EQ(reason(text), "a number is not whole") << text;
  for (const char* text : {"01", "-01", "00"}) EXPECT_EQ(reason(text), "a number begins with 0") << text;
}

TEST(ParseJson, WhatIsNoJsonIsAnError) {
  for (const char* text :
       {"",         " ",       "-",         "+1",        ".5",         "nul",       "True",          "x",      "1 2",
        "{",        "}",       "[",         "]",         "[1",         "[1,",       "[1,]",          "[,1]",   "[1 2]",
        "{\"a\"",   "{\"a\":", "{\"a\" 1}", "{\"a\":1",  "{\"a\":1,}", "{a:1}",     "{1:1}",         "{,}",    "\"",
        "\"a",      "\"\\\"",  "'a'",       "\"\\x41\"", "\"\\",       "\"\\u12\"", "\"\\u12g4\"",   "\"\n\"", "\"\t\"",
        "/* c */1", "1 // c",  "var x = 1", "{}{}",      "NaN",        "\"a\"b",    "\xef\xbb\xbf{}"}) {
    EXPECT_NE(reason(text), "") << text;
  }
}

TEST(ParseJson, TextIsUtf8WithoutZeros) {
  for (const char* text : {"\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xe2\x82\""}) {
    EXPECT_EQ(reason(text), "not UTF-8") << text;
  }
  EXPECT_EQ(reason(R"("\u0000")"), "a string has a zero in it");
  EXPECT_NE(reason(std::string_view("\"\0\"", 3)), "");
  for (const char* text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\u0041")", R"("\ud800\ud800")"}) {
    EXPECT_EQ(reason(text), "a surrogate stands alone") << text;
  }
}

TEST(ParseJson, NamesAreThereOnce) {
  EXPECT_EQ(reason(R"({"a":1,"b":2,"a":3})"), "it has a key twice");
  EXPECT_EQ(reason(R"({"a":1,"\u0061":3})"), "it has a key twice");
  EXPECT_EQ(reason(R"({"a":{"a":1}})"), "");
}

TEST(ParseJson, DepthIsLimited) {
  EXPECT_EQ(reason("[[[[]]]]", 4), "");
  EXPECT_EQ(reason("[[[[]]]]", 3), "nested too deep");
  EXPECT_EQ(reason("{\"a\":[]}", 1), "nested too deep");
  EXPECT_EQ(reason("1", 0), "");
  EXPECT_EQ(reason(std::string(100000, '[')), "nested too deep");
}

}  // namespace
}  // namespace tapferry
