// SPDX-License-Identifier: MIT
//
// `spec_words`, which runs while building: prints what can begin a SPEC and, behind it, the keys and the words that can
// follow, for the shells' completion:
//
//   bridge= name= queues= vnet_hdr=on|off ... filter=auto|ipv4|...,...
//
// A value that ends in ",..." is a list. All of it is asked of the parser: the keys are its table's, a key fits a kind if the
// parser takes there what it takes anywhere, and a key's words are those by which it says what it expects.

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string>
#include <vector>

#include "base/parse.h"
#include "net/spec.h"

namespace tapferry {
namespace {

constexpr Kind kKinds[] = {Kind::kBridge, Kind::kTap, Kind::kMacvtap, Kind::kDevice};
// Values of the keys that take no words; one of them has to suit each.
constexpr std::string_view kSamples[] = {"vm-1", "2", "1500", "100mbit", "52:54:00:12:34:56"};
// What a key may need beside it.
constexpr std::string_view kCompanion = ",guest_mac=52:54:00:12:34:56";

bool is_spec(const std::string& text) { return parse_spec(text).is_ok(); }

bool is_taken(const std::string& head, std::string_view key, std::string_view value) {
  const std::string text = head + "," + std::string(key) + "=" + std::string(value);
  return is_spec(text) || is_spec(text + std::string(kCompanion));
}

// What an object can be; all that stands before the name x0 is part of the head.
constexpr std::string_view kObjects[] = {"=x0", "=ovs:x0"};

// "bridge=x0", "tap", ...: what a SPEC begins with.
std::vector<std::string> heads() {
  std::vector<std::string> heads;
  for (const Kind kind : kKinds) {
    const std::string word(kind_name(kind));
    if (is_spec(word)) heads.push_back(word);
    for (const std::string_view object : kObjects) {
      if (is_spec(word + std::string(object))) heads.push_back(word + std::string(object));
    }
  }
  return heads;
}

std::string replaced(std::string text, std::string_view before, std::string_view after) {
  for (size_t at; (at = text.find(before)) != std::string::npos;) text.replace(at, before.size(), after);
  return text;
}

// "on, off or auto" as its three words; nothing for "1 to 64", which is no list of words. 0xHHHH stands for a value.
std::vector<std::string> words_of(const SpecKey& key) {
  std::string text = replaced(std::string(key.expected), "or a list of ", "");
  for (const std::string_view between : {" or ", " and ", ", "}) text = replaced(text, between, ",");
  std::vector<std::string> words;
  for (const std::string_view word : split(text, ',')) {
    if (word.find(' ') != std::string_view::npos) return {};
    if (std::none_of(word.begin(), word.end(), [](unsigned char c) { return isupper(c) != 0; }))
      words.emplace_back(word);
  }
  return words;
}

// A key, and the values by which it is tried out.
struct Tried {
  std::string_view name;
  std::vector<std::string> words;
  std::vector<std::string> values;  // those that it can have behind some head
};

// False if it can't be tried: another sample is needed, or it says what it doesn't take.
bool try_out(const SpecKey& key, const std::vector<std::string>& heads, std::vector<Tried>* tried) {
  Tried one{key.name, words_of(key), {}};
  std::vector<std::string> candidates = one.words;
  if (candidates.empty()) candidates.assign(std::begin(kSamples), std::end(kSamples));
  for (const std::string& value : candidates) {
    const bool is_known = std::any_of(heads.begin(), heads.end(),
                                      [&](const std::string& head) { return is_taken(head, key.name, value); });
    if (is_known) one.values.push_back(value);
  }
  if (one.values.empty() || (!one.words.empty() && one.values.size() != one.words.size())) {
    fprintf(stderr, "spec_words: what %.*s= takes can't be told from `%.*s'\n", static_cast<int>(key.name.size()),
            key.name.data(), static_cast<int>(key.expected.size()), key.expected.data());
    return false;
  }
  tried->push_back(std::move(one));
  return true;
}

bool fits(const Tried& key, const std::string& head) {
  return std::all_of(key.values.begin(), key.values.end(),
                     [&](const std::string& value) { return is_taken(head, key.name, value); });
}

bool is_list(const Tried& key, const std::string& head) {
  const size_t count = key.words.size();
  return count > 1 && is_taken(head, key.name, key.words[count - 2] + "," + key.words[count - 1]);
}

void print(const std::string& head, const std::vector<Tried>& keys) {
  std::string line = head.substr(0, head.find("x0"));
  for (const Tried& key : keys) {
    if (!fits(key, head)) continue;
    line += " " + std::string(key.name) + "=";
    for (const std::string& word : key.words) line += (line.back() == '=' ? "" : "|") + word;
    if (is_list(key, head)) line += ",...";
  }
  puts(line.c_str());
}

int run() {
  const std::vector<std::string> all = heads();
  std::vector<Tried> keys;
  for (const SpecKey& key : spec_keys()) {
    if (!try_out(key, all, &keys)) return 1;
  }
  for (const std::string& head : all) print(head, keys);
  return fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tapferry

int main() { return tapferry::run(); }
