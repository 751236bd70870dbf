// SPDX-License-Identifier: MIT
#include "net/json_value.h"

#include <algorithm>

#include "base/parse.h"
#include "base/text.h"

namespace tapferry {
namespace {

constexpr size_t kMaxDigits = 18;

Error flaw(std::string_view reason) { return Error("read", "JSON", reason); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A code point in UTF-8 (RFC 3629, 3).
std::string to_utf8(uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<JsonValue> value(int depth_left) {
    skip_blanks();
    const std::string_view begin = rest_;
    JsonValue value = TRY(bare_value(depth_left));
    value.source = begin.substr(0, begin.size() - rest_.size());
    skip_blanks();
    return value;
  }

  bool is_at_end() const { return rest_.empty(); }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.size(), rest_.find_first_not_of(" \t\r\n"))); }

  bool take(std::string_view token) { return consume_prefix(&rest_, token); }

  Result<JsonValue> bare_value(int depth_left) {
    JsonValue value;
    if (take("null")) return value;
    value.type = JsonValue::Type::kBoolean;
    value.boolean = rest_.starts_with("true");
    if (take("true") || take("false")) return value;
    if (rest_.starts_with('"')) {
      value.type = JsonValue::Type::kText;
      value.text = TRY(string());
      return value;
    }
    if (rest_.starts_with('{') || rest_.starts_with('[')) {
      if (depth_left == 0) return flaw("nested too deep");
      return take("[") ? array(depth_left - 1) : object(depth_left - 1);
    }
    return number();
  }

  Result<JsonValue> number() {
    JsonValue value;
    value.type = JsonValue::Type::kNumber;
    const bool is_negative = take("-");
    size_t length = 0;
    for (; length < rest_.size() && is_digit(rest_[length]); ++length) {
      if (length == kMaxDigits) return flaw("a number has too many digits");
      value.number = value.number * 10 + (rest_[length] - '0');
    }
    if (length == 0) return flaw("not JSON");
    if (rest_[0] == '0' && length > 1) return flaw("a number begins with 0");
    rest_.remove_prefix(length);
    if (!rest_.empty() && std::string_view(".eE").find(rest_[0]) != std::string_view::npos) {
      return flaw("a number is not whole");
    }
    if (is_negative) value.number = -value.number;
    return value;
  }

  Result<std::string> string() {
    std::string text;
    rest_.remove_prefix(1);
    for (;;) {
      const size_t plain = rest_.find_first_of("\"\\");
      if (plain == std::string_view::npos) return flaw("a string has no end");
      const std::string_view part = rest_.substr(0, plain);
      if (std::any_of(part.begin(), part.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
        return flaw("a string has a control character in it");
      }
      text += part;
      rest_.remove_prefix(plain);
      if (take("\"")) return text;
      text += TRY(escape_sequence());
    }
  }

  Result<std::string> escape_sequence() {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    rest_.remove_prefix(1);
    if (take("u")) return code_point();
    const size_t at = rest_.empty() ? std::string_view::npos : kNames.find(rest_[0]);
    if (at == std::string_view::npos) return flaw("an escape is none of JSON's");
    rest_.remove_prefix(1);
    return std::string(1, kMeant[at]);
  }

  // \uHHHH, or the two of a surrogate pair (RFC 8259, 7).
  Result<std::string> code_point() {
    const uint32_t first = TRY(four_digits());
    if (first == 0) return flaw("a string has a zero in it");
    if (first < 0xd800 || first > 0xdfff) return to_utf8(first);
    if (first > 0xdbff || !take("\\u")) return flaw("a surrogate stands alone");
    const uint32_t second = TRY(four_digits());
    if (second < 0xdc00 || second > 0xdfff) return flaw("a surrogate stands alone");
    return to_utf8(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
  }

  Result<uint32_t> four_digits() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const size_t digit =
          rest_.empty() ? std::string_view::npos : std::string_view("0123456789abcdefABCDEF").find(rest_[0]);
      if (digit == std::string_view::npos) return flaw("\\u without four hexadecimal digits");
      code = code * 16 + static_cast<uint32_t>(digit < 16 ? digit : digit - 6);
      rest_.remove_prefix(1);
    }
    return code;
  }

  Result<JsonValue> array(int depth_left) {
    JsonValue array;
    array.type = JsonValue::Type::kArray;
    skip_blanks();
    if (take("]")) return array;
    for (;;) {
      array.items.push_back(TRY(value(depth_left)));
      if (take("]")) return array;
      if (!take(",")) return flaw("an array has no end");
    }
  }

  Result<JsonValue> object(int depth_left) {
    JsonValue object;
    object.type = JsonValue::Type::kObject;
    take("{");
    skip_blanks();
    if (take("}")) return object;
    for (;;) {
      skip_blanks();
      if (!rest_.starts_with('"')) return flaw("an object's member has no name");
      std::string name = TRY(string());
      if (object.member(name) != nullptr) return flaw("it has a key twice");
      skip_blanks();
      if (!take(":")) return flaw("an object's member has no value");
      object.names.push_back(std::move(name));
      object.items.push_back(TRY(value(depth_left)));
      if (take("}")) return object;
      if (!take(",")) return flaw("an object has no end");
    }
  }

  std::string_view rest_;
};

}  // namespace

const JsonValue* JsonValue::member(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? nullptr : &items[static_cast<size_t>(found - names.begin())];
}

Result<JsonValue> parse_json(std::string_view text, int max_depth) {
  if (!is_utf8(text)) return flaw("not UTF-8");
  Parser parser(text);
  JsonValue value = TRY(parser.value(max_depth));
  if (!parser.is_at_end()) return flaw("something is behind it");
  return value;
}

}  // namespace tapferry
