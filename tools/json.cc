// SPDX-License-Identifier: MIT
#include "tools/json.h"

#include "base/text.h"

namespace tapferry {

void JsonWriter::name(const char* key) {
  if (key != nullptr) json_builder_set_member_name(builder_, key);
}

void JsonWriter::text(const char* key, std::string_view value) {
  name(key);
  const bool is_utf8 = g_utf8_validate_len(value.data(), value.size(), nullptr);
  json_builder_add_string_value(builder_, (is_utf8 ? std::string(value) : escape(value)).c_str());
}

void JsonWriter::number(const char* key, int64_t value) {
  name(key);
  json_builder_add_int_value(builder_, value);
}

void JsonWriter::boolean(const char* key, bool value) {
  name(key);
  json_builder_add_boolean_value(builder_, value ? TRUE : FALSE);
}

void JsonWriter::null(const char* key) {
  name(key);
  json_builder_add_null_value(builder_);
}

void JsonWriter::json(const char* key, const std::string& value) {
  name(key);
  json_builder_add_value(builder_, json_from_string(value.c_str(), nullptr));
}

void JsonWriter::texts(const char* key, const std::vector<std::string>& values) {
  begin_array(key);
  for (const std::string& value : values) text(nullptr, value);
  end_array();
}

void JsonWriter::begin_object(const char* key) {
  name(key);
  json_builder_begin_object(builder_);
}

void JsonWriter::begin_array(const char* key) {
  name(key);
  json_builder_begin_array(builder_);
}

std::string JsonWriter::take_line() {
  json_builder_end_object(builder_);
  JsonNode* root = json_builder_get_root(builder_);
  std::string line = json_line(root);
  json_node_unref(root);
  return line;
}

std::string json_line(JsonNode* root) {
  g_autofree char* text = json_to_string(root, FALSE);
  return std::string(text) + "\n";
}

std::string text_member(JsonObject* object, const char* key) {
  JsonNode* node = object == nullptr ? nullptr : json_object_get_member(object, key);
  const bool is_text =
      node != nullptr && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
  return is_text ? json_node_get_string(node) : "";
}

JsonObject* object_member(JsonObject* object, const char* key) {
  JsonNode* node = object == nullptr ? nullptr : json_object_get_member(object, key);
  return node != nullptr && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : nullptr;
}

}  // namespace tapferry
