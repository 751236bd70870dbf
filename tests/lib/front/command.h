// SPDX-License-Identifier: MIT
//
// Commands that a test gives to front_end: one JSON object a line, {"do": NAME, ...}, each answered by one line, which has
// "error" in it if it failed. Numbers are decimal, bytes are hexadecimal text. tests/lib/vhost_front.py is the other side.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tests/lib/front/guest.h"
#include "tools/json.h"

namespace tapferry::front {

struct Session {
  std::unique_ptr<Guest> guest;
  Fd listening;
};

using CommandFunction = Status (*)(Session* session, JsonObject* request, JsonWriter* answer);
enum class Needs { kNothing, kGuest, kConnection };
struct Command {
  const char* name;
  CommandFunction run;
  Needs needs;
};

// By file: setting up; frames; what a well-behaved guest doesn't do.
std::span<const Command> setup_commands();
std::span<const Command> frame_commands();
std::span<const Command> hostile_commands();

// The answer to one line.
std::string run_command(Session* session, const std::string& line);

// Members of a request; the default when it isn't there.
int64_t number_of(JsonObject* request, const char* key, int64_t otherwise);
bool flag_of(JsonObject* request, const char* key, bool otherwise);
std::string text_of(JsonObject* request, const char* key);
Result<std::string> bytes_of(JsonObject* request, const char* key);
std::vector<uint32_t> numbers_of(JsonObject* request, const char* key);
Shape shape_of(JsonObject* request);
Result<unsigned> vring_of(Session* session, JsonObject* request);
Result<unsigned> pair_of(Session* session, JsonObject* request);

std::string to_hex(std::string_view bytes);

}  // namespace tapferry::front
