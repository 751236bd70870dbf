// SPDX-License-Identifier: MIT
//
// Varlink's framing and calls as tapferry-broker reads them: in pieces as they come, the same messages as in one piece, and for each
// whole call a reply or an errand, whatever it says.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "broker/methods.h"
#include "broker/varlink.h"

namespace {

using namespace tapferry;

// The messages of `bytes`, `step` bytes at a time.
std::vector<std::string> messages_of(std::string_view bytes, size_t step, bool* is_too_long) {
  MessageReader reader;
  std::vector<std::string> messages;
  for (size_t at = 0; at < bytes.size(); at += step) {
    if (!reader.add(bytes.substr(at, step)).is_ok()) {
      *is_too_long = true;
      return messages;
    }
    while (auto message = reader.take()) messages.push_back(std::move(*message));
  }
  return messages;
}

void answer(const std::string& message) {
  const auto call = parse_call(message);
  if (!call.is_ok()) {
    if (malformed_call(call.error()).message.empty()) abort();
    return;
  }
  // What the kernel would have to be asked for isn't.
  if (call.value().member() == "List") return;
  const Handled handled = handle_call(call.value(), 1000);
  if (handled.reply.has_value() == handled.errand.has_value()) abort();
  if (handled.errand && handled.errand->text.size() > kMaxSpecLength) abort();
  if (!handled.reply) return;
  // One message, which our own reader takes.
  const std::string& reply = handled.reply->message;
  if (reply.find('\0') != reply.size() - 1) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  bool is_too_long = false;
  const auto messages = messages_of(bytes, data[0] + 1u, &is_too_long);
  if (!is_too_long) {
    bool is_too_long_at_once = false;
    const auto at_once = messages_of(bytes, bytes.size() + 1, &is_too_long_at_once);
    if (!is_too_long_at_once && at_once != messages) abort();
  }
  for (const std::string& message : messages) answer(message);
  return 0;
}
