// SPDX-License-Identifier: MIT
//
// JSON by json-glib: objects for output, and who owns what was parsed.
#pragma once

#include <json-glib/json-glib.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tapferry {

struct NodeFree {
  void operator()(JsonNode* node) const { json_node_unref(node); }
};
using JsonTree = std::unique_ptr<JsonNode, NodeFree>;

// Fills an object key by key. Text that isn't UTF-8 is escaped (base/text.h).
class JsonWriter {
 public:
  JsonWriter() : builder_(json_builder_new()) { json_builder_begin_object(builder_); }
  ~JsonWriter() { g_object_unref(builder_); }
  JsonWriter(const JsonWriter&) = delete;
  JsonWriter& operator=(const JsonWriter&) = delete;

  void text(const char* key, std::string_view value);
  void number(const char* key, int64_t value);
  void boolean(const char* key, bool value);
  void null(const char* key);
  void json(const char* key, const std::string& value);  // well-formed JSON, as it is
  void texts(const char* key, const std::vector<std::string>& values);

  void begin_object(const char* key);  // null key: an element of the open array
  void end_object() { json_builder_end_object(builder_); }
  void begin_array(const char* key);
  void end_array() { json_builder_end_array(builder_); }

  // Closes the object; one line with its newline.
  std::string take_line();

 private:
  void name(const char* key);

  JsonBuilder* builder_;
};

// One line with its newline.
std::string json_line(JsonNode* root);

// A member of that kind; empty or null when there is none (also of a null object).
std::string text_member(JsonObject* object, const char* key);
JsonObject* object_member(JsonObject* object, const char* key);

}  // namespace tapferry
