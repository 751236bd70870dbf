// SPDX-License-Identifier: MIT
//
// The helper's command line: each line of the input is one argument.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/parse.h"
#include "helper/request.h"

namespace {

void require(bool condition) {
  if (!condition) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> words = {"tapferry-helper"};
  for (const std::string_view word : tapferry::split({reinterpret_cast<const char*>(data), size}, '\n')) {
    // A zero byte ends an argument, as it does for execve(2).
    words.emplace_back(word.substr(0, word.find('\0')));
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int count = static_cast<int>(words.size());

  const tapferry::Result<tapferry::Request> parsed = tapferry::parse_request(count, arguments.data());
  if (!parsed.is_ok()) {
    require(parsed.error().line().find('\n') == std::string::npos);
    return 0;
  }
  const tapferry::Request& request = parsed.value();
  const bool hands_over = request.action == tapferry::Action::kHandOver;
  require((request.fd >= 0) == hands_over);
  if (!hands_over && request.action != tapferry::Action::kExplain) return 0;

  require(tapferry::is_interface_name(request.spec.object) || request.spec.kind != tapferry::Kind::kBridge);
  require(!request.is_br_form || (request.spec.queues == 1 && request.spec.kind == tapferry::Kind::kBridge));
  // What is asked for must have been seen before it was parsed.
  require(request.spec.queues <= tapferry::most_queues_asked(count, arguments.data()));
  return 0;
}
