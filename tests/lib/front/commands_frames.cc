// SPDX-License-Identifier: MIT
//
// Frames out and in, one by one or as a flood.
#include <algorithm>
#include <chrono>

#include "tests/lib/front/command.h"

namespace tapferry::front {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr unsigned kRx = 0, kTx = 1;

unsigned vring_index(unsigned pair, unsigned which) { return pair * 2 + which; }

steady_clock::time_point deadline_of(JsonObject* request, int64_t otherwise_ms) {
  return steady_clock::now() + milliseconds(number_of(request, "timeout_ms", otherwise_ms));
}

// Waits for the backend's signal on that ring, not longer than the deadline, and looks now and then by itself all the same.
void wait_a_little(Guest& guest, unsigned vring, steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
  if (guest.ring(vring).ask_for_calls(true)) return;
  guest.wait_call(vring, static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
}

void publish(Guest& guest, unsigned vring, bool* kicked) {
  *kicked = guest.ring(vring).publish();
  if (*kicked) guest.kick(vring);
}

// {"queue", "count", "bytes", shape}: receive buffers; how many there was room for.
Status post_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const unsigned pair = TRY(pair_of(session, request));
  NetDriver& driver = session->guest->pair(pair);
  const Shape shape = shape_of(request);
  const auto bytes = static_cast<uint32_t>(number_of(request, "bytes", 2048));
  const int64_t wanted = number_of(request, "count", driver.rx().size());
  int64_t count = 0;
  while (count < wanted) {
    const bool is_posted = TRY(driver.post(bytes, shape));
    if (!is_posted) break;
    ++count;
  }
  bool kicked = false;
  publish(*session->guest, vring_index(pair, kRx), &kicked);
  answer->number("posted", count);
  answer->boolean("kicked", kicked);
  return {};
}

// Until all that was sent is used, or the deadline.
bool await_sent(Guest& guest, unsigned pair, steady_clock::time_point deadline) {
  NetDriver& driver = guest.pair(pair);
  for (;;) {
    driver.reap_sent();
    if (driver.tx().outstanding() == 0) return true;
    if (steady_clock::now() >= deadline) return false;
    wait_a_little(guest, vring_index(pair, kTx), deadline);
  }
}

// {"queue", "frames": [{"frame", "header", shape}], "wait", "timeout_ms", "publish_each"}: how many fitted into the ring, whether
// the backend was kicked, and, having waited, whether all are used.
Status send_command(Session* session, JsonObject* request, JsonWriter* answer) {
  Guest& guest = *session->guest;
  const unsigned pair = TRY(pair_of(session, request));
  const unsigned vring = vring_index(pair, kTx);
  JsonArray* frames = json_object_get_array_member(request, "frames");
  const auto deadline = deadline_of(request, 5000);
  bool kicked = false;
  int64_t sent = 0;
  guest.pair(pair).reap_sent();
  for (guint i = 0; frames != nullptr && i < json_array_get_length(frames); ++i) {
    JsonObject* frame = json_array_get_object_element(frames, i);
    const std::string header = TRY(bytes_of(frame, "header"));
    const std::string bytes = TRY(bytes_of(frame, "frame"));
    const bool is_added = TRY(guest.pair(pair).send(header, bytes, shape_of(frame)));
    if (!is_added) break;
    ++sent;
    if (flag_of(request, "publish_each", false)) publish(guest, vring, &kicked);
  }
  if (!flag_of(request, "publish_each", false) && flag_of(request, "publish", true)) publish(guest, vring, &kicked);
  answer->number("sent", sent);
  answer->boolean("kicked", kicked);
  if (flag_of(request, "wait", true)) answer->boolean("used", await_sent(guest, pair, deadline));
  answer->text("fault", guest.ring(vring).fault());
  return {};
}

// {"queue", "count", "timeout_ms", "repost"}: what came until then, `count` frames at most.
Status receive_command(Session* session, JsonObject* request, JsonWriter* answer) {
  Guest& guest = *session->guest;
  const unsigned pair = TRY(pair_of(session, request));
  const int64_t wanted = number_of(request, "count", 1);
  const bool repost = flag_of(request, "repost", true);
  const auto deadline = deadline_of(request, 5000);
  bool kicked = false;
  answer->begin_array("frames");
  for (int64_t count = 0; count < wanted;) {
    ReceivedFrame frame;
    auto received = guest.pair(pair).receive(&frame, repost);
    if (!received.is_ok()) {
      answer->end_array();
      return std::move(received).error();
    }
    if (!received.value()) {
      if (repost) publish(guest, vring_index(pair, kRx), &kicked);
      if (steady_clock::now() >= deadline) break;
      wait_a_little(guest, vring_index(pair, kRx), deadline);
      continue;
    }
    ++count;
    answer->begin_object(nullptr);
    answer->text("header", to_hex(frame.header));
    answer->text("frame", to_hex(frame.bytes));
    answer->number("buffers", frame.buffer_count);
    answer->end_object();
  }
  answer->end_array();
  if (repost) publish(guest, vring_index(pair, kRx), &kicked);
  answer->text("fault", guest.pair(pair).rx().fault());
  return {};
}

// A region that comes and goes.
Status change_memory(Guest& guest, uint64_t gpa, int64_t turn) {
  constexpr uint64_t kSize = 1 << 20;
  return turn % 2 != 0 ? guest.add_region(gpa, kSize) : guest.remove_region(guest.memory().regions().size() - 1);
}

// {"queue", "frame", "header", "count", "burst", "seconds", "churn_gpa", shape}: the same frame over and over, as fast as the backend takes it,
// until `count` are used, the time is over, or the backend is gone. Received frames are counted and let go.
Status flood_command(Session* session, JsonObject* request, JsonWriter* answer) {
  Guest& guest = *session->guest;
  const unsigned pair = TRY(pair_of(session, request));
  NetDriver& driver = guest.pair(pair);
  const std::string header = TRY(bytes_of(request, "header"));
  const std::string bytes = TRY(bytes_of(request, "frame"));
  const Shape shape = shape_of(request);
  const int64_t count = number_of(request, "count", INT64_MAX), burst = number_of(request, "burst", 16);
  const auto start = steady_clock::now();
  const auto end = start + duration<double>(json_object_get_double_member_with_default(request, "seconds", 10));
  const auto churn_gpa = static_cast<uint64_t>(number_of(request, "churn_gpa", 0));
  int64_t added = 0, used = 0, received = 0, kicks = 0, changes = 0;
  bool kicked = false, is_gone = false;
  auto next_look = start;
  while (used < count && !is_gone && steady_clock::now() < end) {
    for (int64_t i = 0; i < burst && added < count; ++i) {
      const bool is_added = TRY(driver.send(header, bytes, shape));
      if (!is_added) break;
      ++added;
    }
    publish(guest, vring_index(pair, kTx), &kicked);
    kicks += kicked;
    const unsigned reaped = driver.reap_sent();
    used += reaped;
    for (ReceivedFrame frame; TRY(driver.receive(&frame, true)); ++received) continue;
    publish(guest, vring_index(pair, kRx), &kicked);
    if (reaped == 0) wait_a_little(guest, vring_index(pair, kTx), steady_clock::now() + milliseconds(5));
    if (steady_clock::now() < next_look) continue;
    is_gone = guest.client().is_closed(0);
    if (churn_gpa != 0) TRY(change_memory(guest, churn_gpa, ++changes));
    next_look = steady_clock::now() + milliseconds(5);
  }
  answer->number("added", added);
  answer->number("used", used);
  answer->number("received", received);
  answer->number("kicks", kicks);
  answer->number("changes", changes);
  answer->boolean("disconnected", is_gone);
  answer->number("microseconds", duration_cast<std::chrono::microseconds>(steady_clock::now() - start).count());
  answer->text("fault", driver.tx().fault() + driver.rx().fault());
  return {};
}

constexpr Command kCommands[] = {
    {"post", post_command, Needs::kGuest},
    {"send", send_command, Needs::kGuest},
    {"receive", receive_command, Needs::kGuest},
    {"flood", flood_command, Needs::kConnection},
};

}  // namespace

std::span<const Command> frame_commands() { return kCommands; }

}  // namespace tapferry::front
