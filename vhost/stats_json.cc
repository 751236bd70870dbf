// SPDX-License-Identifier: MIT
//
// The counters as JSON, by json-glib.
#include <json-glib/json-glib.h>
#include <memory>

#include "vhost/stats.h"

namespace tapferry {
namespace {

struct Unref {
  void operator()(void* object) const { g_object_unref(object); }
};

void number(JsonBuilder* builder, const char* key, uint64_t value) {
  json_builder_set_member_name(builder, key);
  json_builder_add_int_value(builder, static_cast<int64_t>(value));
}

void queue(JsonBuilder* builder, const char* key, const QueueTotals& totals) {
  json_builder_set_member_name(builder, key);
  json_builder_begin_object(builder);
  number(builder, "frames", totals.frames);
  number(builder, "bytes", totals.bytes);
  number(builder, "merged_frames", totals.merged_frames);
  number(builder, "merged_into", totals.merged_into);
  number(builder, "moved_frames", totals.moved_frames);
  number(builder, "notifications", totals.notifications);
  json_builder_set_member_name(builder, "drops");
  json_builder_begin_object(builder);
  for (size_t i = 0; i < totals.drops.size(); ++i) number(builder, drop_key(static_cast<Drop>(i)), totals.drops[i]);
  json_builder_end_object(builder);
  json_builder_set_member_name(builder, "bursts");
  json_builder_begin_object(builder);
  // Under the least that a bucket counts.
  for (size_t i = 0; i < totals.bursts.size(); ++i) {
    number(builder, std::to_string(1u << i).c_str(), totals.bursts[i]);
  }
  json_builder_end_object(builder);
  json_builder_end_object(builder);
}

}  // namespace

std::string stats_json(unsigned pair, const PairTotals& totals, int64_t elapsed_ms) {
  const std::unique_ptr<JsonBuilder, Unref> builder(json_builder_new());
  json_builder_begin_object(builder.get());
  json_builder_set_member_name(builder.get(), "event");
  json_builder_add_string_value(builder.get(), elapsed_ms < 0 ? "totals" : "interval");
  number(builder.get(), "pair", pair);
  if (elapsed_ms >= 0) number(builder.get(), "elapsed_ms", static_cast<uint64_t>(elapsed_ms));
  queue(builder.get(), "rx", totals.rx);
  queue(builder.get(), "tx", totals.tx);
  number(builder.get(), "wakeups", totals.wakeups);
  number(builder.get(), "system_calls", totals.system_calls);
  json_builder_end_object(builder.get());

  const std::unique_ptr<JsonNode, decltype(&json_node_unref)> root(json_builder_get_root(builder.get()),
                                                                   json_node_unref);
  const std::unique_ptr<char, decltype(&g_free)> text(json_to_string(root.get(), FALSE), g_free);
  return std::string(text.get()) + "\n";
}

}  // namespace tapferry
