// SPDX-License-Identifier: MIT
//
// Interfaces as JSON: one object in one line.

#include <cmath>

#include "tools/json.h"
#include "tools/status.h"

namespace tapferry {
namespace {

template <typename Number>
void write_number(JsonWriter* json, const char* key, const std::optional<Number>& value) {
  if (value) {
    json->number(key, static_cast<int64_t>(*value));
  } else {
    json->null(key);
  }
}

void write_text(JsonWriter* json, const char* key, const std::string& text) {
  if (text.empty()) {
    json->null(key);
  } else {
    json->text(key, text);
  }
}

void write_traffic(JsonWriter* json, const char* key, const FrameCounters& counters,
                   const std::optional<TrafficRate>& rate) {
  json->begin_object(key);
  json->number("bytes", static_cast<int64_t>(counters.bytes));
  json->number("frames", static_cast<int64_t>(counters.frames));
  json->number("errors", static_cast<int64_t>(counters.errors));
  json->number("dropped", static_cast<int64_t>(counters.dropped));
  std::optional<int64_t> bytes;
  std::optional<int64_t> frames;
  if (rate) bytes = std::llround(rate->bytes);
  if (rate) frames = std::llround(rate->frames);
  write_number(json, "bytes_per_s", bytes);
  write_number(json, "frames_per_s", frames);
  json->end_object();
}

void write_holders(JsonWriter* json, const InterfaceStatus& one) {
  json->begin_array("holders");
  for (const HolderProcess& holder : one.holders) {
    json->begin_object(nullptr);
    json->number("pid", holder.pid);
    json->text("name", holder.name);
    write_number(json, "uid", holder.uid);
    json->end_object();
  }
  json->end_array();
  json->boolean("holders_known", !one.has_unseen_holder);
}

void write_limits(JsonWriter* json, const InterfaceStatus& one) {
  json->boolean("lock", one.is_locked());
  json->boolean("isolated", one.is_isolated());
  write_text(json, "filter", one.is_filtered() ? to_string(ProtocolFilter{false, *one.rules->ethertypes}) : "");
  write_number(json, "rate_to", one.rules ? one.rules->rate_to : std::nullopt);
  write_number(json, "rate_from", one.rules ? one.rules->rate_from : std::nullopt);
  json->boolean("limits_known", one.rules.has_value());
  json->boolean("persist", one.is_persistent());
}

void write_interface(JsonWriter* json, const InterfaceStatus& one) {
  json->begin_object(nullptr);
  json->number("ifindex", one.link.index);
  json->text("ifname", one.link.name);
  json->boolean("tapferry", one.tag.has_value());
  json->text("kind", one.kind);
  write_text(json, "upper", one.upper);
  write_number(json, "uid", one.uid);
  write_text(json, "user", one.user);
  write_number(json, "queues", one.queues);
  json->text("mac", to_string(one.link.mac));
  json->number("mtu", one.link.mtu);
  json->text("state", one.state());
  json->boolean("up", one.link.is_up());
  json->boolean("carrier", one.link.has_carrier);
  std::optional<int64_t> since;
  if (one.tag && one.tag->since != 0) since = one.tag->since;
  write_number(json, "since", since);
  write_text(json, "rule", one.tag ? one.tag->rule : "");
  write_limits(json, one);
  write_holders(json, one);
  write_traffic(json, "received", one.received, one.receive_rate);
  write_traffic(json, "sent", one.sent, one.send_rate);
  json->end_object();
}

}  // namespace

std::string status_json(const StatusSnapshot& snapshot) {
  JsonWriter json;
  json.number("version", 1);
  json.number("time_ms", snapshot.time_us / 1000);
  json.number("interval_ms", std::llround(snapshot.interval_s * 1000));
  json.begin_array("interfaces");
  for (const InterfaceStatus& one : snapshot.interfaces) write_interface(&json, one);
  json.end_array();
  return json.take_line();
}

}  // namespace tapferry
