// SPDX-License-Identifier: MIT
#include "tests/lib/front/command.h"

#include <algorithm>

namespace tapferry::front {
namespace {

JsonArray* array_of(JsonObject* request, const char* key) {
  JsonNode* node = json_object_get_member(request, key);
  return node != nullptr && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : nullptr;
}

int nibble(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

const Command* find_command(const std::string& name) {
  for (const auto commands : {setup_commands(), frame_commands(), hostile_commands()}) {
    const auto found = std::find_if(commands.begin(), commands.end(), [&](const Command& c) { return name == c.name; });
    if (found != commands.end()) return &*found;
  }
  return nullptr;
}

Status perform(Session* session, JsonObject* request, JsonWriter* answer) {
  const std::string name = text_of(request, "do");
  const Command* command = find_command(name);
  if (command == nullptr) return Error("do", name, "no such command");
  const bool is_connected = session->guest != nullptr && session->guest->is_connected();
  if (command->needs == Needs::kGuest && session->guest == nullptr) return Error("do", name, "there is no guest yet");
  if (command->needs == Needs::kConnection && !is_connected) return Error("do", name, "not connected");
  return command->run(session, request, answer);
}

}  // namespace

int64_t number_of(JsonObject* request, const char* key, int64_t otherwise) {
  return json_object_get_int_member_with_default(request, key, otherwise);
}

bool flag_of(JsonObject* request, const char* key, bool otherwise) {
  return json_object_get_boolean_member_with_default(request, key, otherwise ? TRUE : FALSE) != FALSE;
}

std::string text_of(JsonObject* request, const char* key) {
  return json_object_get_string_member_with_default(request, key, "");
}

Result<std::string> bytes_of(JsonObject* request, const char* key) {
  const std::string hex = text_of(request, key);
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    const int high = nibble(hex[i]), low = nibble(hex[i + 1]);
    if (high < 0 || low < 0) return Error("read", key, "not hexadecimal");
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

std::vector<uint32_t> numbers_of(JsonObject* request, const char* key) {
  std::vector<uint32_t> numbers;
  JsonArray* array = array_of(request, key);
  for (guint i = 0; array != nullptr && i < json_array_get_length(array); ++i) {
    numbers.push_back(static_cast<uint32_t>(json_array_get_int_element(array, i)));
  }
  return numbers;
}

Shape shape_of(JsonObject* request) {
  return {flag_of(request, "own_header", false), flag_of(request, "indirect", false), numbers_of(request, "pieces")};
}

Result<unsigned> vring_of(Session* session, JsonObject* request) {
  const auto vring = static_cast<uint64_t>(number_of(request, "vring", 0));
  if (vring >= uint64_t{session->guest->pair_count()} * 2)
    return Error("use", "the vring", "there is none of that number");
  return static_cast<unsigned>(vring);
}

Result<unsigned> pair_of(Session* session, JsonObject* request) {
  const auto pair = static_cast<uint64_t>(number_of(request, "queue", 0));
  if (pair >= session->guest->pair_count()) return Error("use", "the queue pair", "there is none of that number");
  return static_cast<unsigned>(pair);
}

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    hex.push_back(kDigits[static_cast<uint8_t>(byte) >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string run_command(Session* session, const std::string& line) {
  JsonWriter answer;
  g_autoptr(GError) error = nullptr;
  const JsonTree request(json_from_string(line.c_str(), &error));
  if (request == nullptr || !JSON_NODE_HOLDS_OBJECT(request.get())) {
    answer.text("error", "read the command: it isn't a JSON object");
    return answer.take_line();
  }
  const Status done = perform(session, json_node_get_object(request.get()), &answer);
  if (!done.is_ok()) {
    answer.text("error", done.error().line());
    answer.number("code", done.error().code());
  }
  return answer.take_line();
}

}  // namespace tapferry::front
