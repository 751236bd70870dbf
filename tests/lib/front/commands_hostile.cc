// SPDX-License-Identifier: MIT
//
// What no well-behaved guest or front-end does: any message, any byte of guest memory at any time, chains of any shape.
#include <cstring>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/front/command.h"

namespace tapferry::front {
namespace {

// Descriptors by what they are: "eventfd", "null", "memory" (the first region's file), "memfd:BYTES".
Result<std::vector<Fd>> make_fds(Session* session, JsonObject* request) {
  std::vector<Fd> fds;
  JsonNode* node = json_object_get_member(request, "fds");
  JsonArray* names = node != nullptr && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : nullptr;
  for (guint i = 0; names != nullptr && i < json_array_get_length(names); ++i) {
    const std::string name = json_array_get_string_element(names, i);
    Fd fd;
    if (name == "eventfd") {
      fd = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    } else if (name == "null") {
      fd = Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    } else if (name == "memory" && !session->guest->memory().regions().empty()) {
      fd = Fd(fcntl(session->guest->memory().regions()[0].file.get(), F_DUPFD_CLOEXEC, 0));
    } else if (name.starts_with("memfd:")) {
      fd = Fd(memfd_create("test", MFD_CLOEXEC));
      if (ftruncate(fd.get(), strtol(name.c_str() + 6, nullptr, 10)) != 0) return Error("make", name, "too large");
    }
    if (!fd.is_open()) return Error("make", name, "no such descriptor");
    fds.push_back(std::move(fd));
  }
  return fds;
}

std::vector<int> numbers(const std::vector<Fd>& fds) {
  std::vector<int> result;
  for (const Fd& fd : fds) result.push_back(fd.get());
  return result;
}

Status tell_reply(Session* session, JsonObject* request, JsonWriter* answer) {
  if (!flag_of(request, "reply", false)) return {};
  const Message reply = TRY(session->guest->client().receive(static_cast<int>(number_of(request, "timeout_ms", 5000))));
  answer->number("request", reply.request);
  answer->number("flags", reply.flags);
  answer->text("payload", to_hex(reply.payload));
  answer->number("fds", static_cast<int64_t>(reply.fds.size()));
  return {};
}

// {"request", "flags", "payload", "fds", "reply"}
Status message_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const std::vector<Fd> fds = TRY(make_fds(session, request));
  const std::string payload = TRY(bytes_of(request, "payload"));
  const auto number = static_cast<uint32_t>(number_of(request, "request", 0));
  const auto flags = static_cast<uint32_t>(number_of(request, "flags", kVersionFlag));
  TRY(session->guest->client().send(number, flags, payload, numbers(fds)));
  return tell_reply(session, request, answer);
}

// {"hex", "fds", "reply"}: bytes as they are.
Status raw_message_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const std::vector<Fd> fds = TRY(make_fds(session, request));
  const std::string bytes = TRY(bytes_of(request, "hex"));
  TRY(session->guest->client().send_bytes(bytes, numbers(fds)));
  return tell_reply(session, request, answer);
}

Status poke_command(Session* session, JsonObject* request, JsonWriter*) {
  const auto gpa = static_cast<uint64_t>(number_of(request, "gpa", 0));
  const std::string bytes = TRY(bytes_of(request, "hex"));
  if (!session->guest->memory().contains(gpa, bytes.size())) return Error("poke", "guest memory", "not wholly there");
  memcpy(session->guest->memory().at(gpa), bytes.data(), bytes.size());
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return {};
}

Status peek_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const auto gpa = static_cast<uint64_t>(number_of(request, "gpa", 0));
  const auto length = static_cast<uint64_t>(number_of(request, "length", 0));
  GuestMemoryFile& memory = session->guest->memory();
  if (!memory.contains(gpa, length)) return Error("peek", "guest memory", "not wholly there");
  answer->text("hex", to_hex({reinterpret_cast<const char*>(memory.at(gpa)), length}));
  return {};
}

// {"value": number} of two alternating u16 values at gpa, swapped `count` times: a double fetch to be won.
Status flip_command(Session* session, JsonObject* request, JsonWriter*) {
  const auto gpa = static_cast<uint64_t>(number_of(request, "gpa", 0));
  const std::string first = TRY(bytes_of(request, "first"));
  const std::string second = TRY(bytes_of(request, "second"));
  const size_t bytes = std::min(first.size(), second.size());
  if (!session->guest->memory().contains(gpa, bytes)) return Error("flip", "guest memory", "not wholly there");
  volatile uint8_t* at = session->guest->memory().at(gpa);
  for (int64_t i = number_of(request, "count", 100000); i > 0; --i) {
    const std::string& now = i % 2 != 0 ? second : first;
    for (size_t k = 0; k < bytes; ++k) at[k] = static_cast<uint8_t>(now[k]);
  }
  return {};
}

Status allocate_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const auto bytes = static_cast<uint64_t>(number_of(request, "bytes", 4096));
  const uint64_t gpa =
      TRY(session->guest->memory().allocate(bytes, static_cast<uint64_t>(number_of(request, "align", 4096))));
  answer->number("gpa", static_cast<int64_t>(gpa));
  return {};
}

// {"vring", "buffers": [[gpa, bytes, writable], ...], "indirect", "kick"}: a chain as it stands.
Status chain_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const unsigned vring = TRY(vring_of(session, request));
  JsonArray* buffers = json_object_get_array_member(request, "buffers");
  std::vector<Buffer> chain;
  for (guint i = 0; buffers != nullptr && i < json_array_get_length(buffers); ++i) {
    JsonArray* buffer = json_array_get_array_element(buffers, i);
    chain.push_back({static_cast<uint64_t>(json_array_get_int_element(buffer, 0)),
                     static_cast<uint32_t>(json_array_get_int_element(buffer, 1)),
                     json_array_get_int_element(buffer, 2) != 0});
  }
  const auto cookie = static_cast<uint64_t>(number_of(request, "cookie", 0));
  DriverRing& ring = session->guest->ring(vring);
  answer->boolean("added", ring.add(chain, flag_of(request, "indirect", false), cookie));
  if (!flag_of(request, "publish", true)) return {};
  ring.publish();
  session->guest->kick(vring);
  return {};
}

// {"vring", "timeout_ms"}: chains that the backend has used, as [cookie, written].
Status used_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const unsigned vring = TRY(vring_of(session, request));
  DriverRing& ring = session->guest->ring(vring);
  if (!ring.ask_for_calls(true)) {
    session->guest->wait_call(vring, static_cast<int>(number_of(request, "timeout_ms", 0)));
  }
  answer->begin_array("used");
  for (Used used; ring.next_used(&used);) {
    answer->begin_array(nullptr);
    answer->number(nullptr, static_cast<int64_t>(used.cookie));
    answer->number(nullptr, used.written);
    answer->end_array();
  }
  answer->end_array();
  answer->text("fault", ring.fault());
  return {};
}

Status kick_command(Session* session, JsonObject* request, JsonWriter*) {
  const unsigned vring = TRY(vring_of(session, request));
  session->guest->kick(vring);
  return {};
}

Status truncate_command(Session* session, JsonObject* request, JsonWriter*) {
  return session->guest->memory().truncate(static_cast<size_t>(number_of(request, "region", 0)),
                                           static_cast<uint64_t>(number_of(request, "size", 0)));
}

Status region_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const auto index = static_cast<size_t>(number_of(request, "region", 0));
  const auto& regions = session->guest->memory().regions();
  if (index >= regions.size()) return Error("tell of", "guest memory", "no such region");
  answer->number("gpa", static_cast<int64_t>(regions[index].gpa));
  answer->number("size", static_cast<int64_t>(regions[index].size));
  answer->number("uva", static_cast<int64_t>(session->guest->memory().uva_of(regions[index].gpa)));
  return {};
}

Status ping_command(Session*, JsonObject*, JsonWriter* answer) {
  answer->boolean("pong", true);
  return {};
}

constexpr Command kCommands[] = {
    {"message", message_command, Needs::kConnection},
    {"raw_message", raw_message_command, Needs::kConnection},
    {"poke", poke_command, Needs::kGuest},
    {"peek", peek_command, Needs::kGuest},
    {"flip", flip_command, Needs::kGuest},
    {"allocate", allocate_command, Needs::kGuest},
    {"chain", chain_command, Needs::kGuest},
    {"used", used_command, Needs::kGuest},
    {"kick", kick_command, Needs::kGuest},
    {"truncate", truncate_command, Needs::kGuest},
    {"region", region_command, Needs::kGuest},
    {"ping", ping_command, Needs::kNothing},
};

}  // namespace

std::span<const Command> hostile_commands() { return kCommands; }

}  // namespace tapferry::front
