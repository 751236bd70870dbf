// SPDX-License-Identifier: MIT
//
// The command line of a benchmark's program: --key=value and --key, in any order, nothing else. tests/bench/*.py writes it, so
// whatever is wrong with it ends the program.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "base/parse.h"

namespace tapferry::bench {

class Arguments {
 public:
  Arguments(int count, char* const words[]) {
    for (int i = 1; i < count; ++i) {
      std::string_view word = words[i];
      if (!consume_prefix(&word, "--")) fail(words[i], "isn't an option");
      const size_t at = word.find('=');
      values_[std::string(word.substr(0, at))] = at == std::string_view::npos ? "" : word.substr(at + 1);
    }
  }

  bool has(const std::string& key) { return find(key) != nullptr; }
  std::string text(const std::string& key, const std::string& otherwise = "") {
    const std::string* value = find(key);
    return value != nullptr ? *value : otherwise;
  }
  uint64_t number(const std::string& key, uint64_t otherwise) {
    const std::string* value = find(key);
    if (value == nullptr) return otherwise;
    const auto number = parse_uint(*value, 0, UINT64_MAX);
    if (!number.has_value()) fail(key, "isn't a number");
    return *number;
  }
  int fd(const std::string& key) { return has(key) ? static_cast<int>(number(key, 0)) : -1; }

  // After all have been asked for.
  void check_all_known() {
    for (const auto& [key, value] : values_) {
      if (!asked_.contains(key)) fail(key, "isn't known");
    }
  }

  [[noreturn]] static void fail(const std::string& what, const std::string& why) {
    fprintf(stderr, "bench: %s: %s\n", what.c_str(), why.c_str());
    exit(1);
  }

 private:
  const std::string* find(const std::string& key) {
    asked_[key] = true;
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  std::map<std::string, std::string> values_;
  std::map<std::string, bool> asked_;
};

}  // namespace tapferry::bench
