// SPDX-License-Identifier: MIT
#include "tools/json_fields.h"

namespace tapferry {
namespace {

bool is_value(JsonNode* node, GType type) {
  return node != nullptr && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

}  // namespace

Result<JsonTree> parse_json(const std::string& json, std::string_view what) {
  g_autoptr(GError) error = nullptr;
  if (!g_utf8_validate_len(json.data(), json.size(), nullptr)) return Error("read", what, "it isn't UTF-8");
  JsonNode* root = json_from_string(json.c_str(), &error);
  if (error != nullptr) return Error("read", what, error->message);
  if (root == nullptr) return Error("read", what, "it is empty");
  return JsonTree(root);
}

Result<JsonFields> JsonFields::of(JsonNode* node, const std::string& what) {
  if (node == nullptr || !JSON_NODE_HOLDS_OBJECT(node)) return Error("read", what, "it is no object");
  return JsonFields(json_node_get_object(node), what);
}

Status JsonFields::expect_version(int64_t version) const {
  const int64_t found = TRY(number("version"));
  if (found == version) return {};
  return flaw("its version is " + std::to_string(found) + ", and this program knows version " +
              std::to_string(version));
}

bool JsonFields::is_absent(const char* key) const {
  JsonNode* node = json_object_get_member(object_, key);
  return node == nullptr || JSON_NODE_HOLDS_NULL(node);
}

Result<JsonNode*> JsonFields::value(const char* key, GType type) const {
  JsonNode* node = json_object_get_member(object_, key);
  if (!is_value(node, type)) return flaw(std::string(key) + " is missing or of another type");
  return node;
}

Result<JsonArray*> JsonFields::array(const char* key) const {
  JsonNode* node = json_object_get_member(object_, key);
  if (node == nullptr || !JSON_NODE_HOLDS_ARRAY(node)) return flaw(std::string(key) + " is no array");
  return json_node_get_array(node);
}

Result<std::string> JsonFields::text(const char* key) const {
  return std::string(json_node_get_string(TRY(value(key, G_TYPE_STRING))));
}

Result<std::string> JsonFields::text_or_empty(const char* key) const {
  if (is_absent(key)) return std::string();
  return text(key);
}

Result<int64_t> JsonFields::number(const char* key) const {
  return static_cast<int64_t>(json_node_get_int(TRY(value(key, G_TYPE_INT64))));
}

Result<bool> JsonFields::boolean(const char* key) const {
  return json_node_get_boolean(TRY(value(key, G_TYPE_BOOLEAN))) != FALSE;
}

Result<std::vector<std::string>> JsonFields::texts(const char* key) const {
  JsonArray* all = TRY(array(key));
  std::vector<std::string> found;
  for (guint i = 0; i < json_array_get_length(all); ++i) {
    JsonNode* node = json_array_get_element(all, i);
    if (!is_value(node, G_TYPE_STRING)) return flaw(std::string(key) + " holds something else than strings");
    found.emplace_back(json_node_get_string(node));
  }
  return found;
}

Result<std::vector<JsonFields>> JsonFields::objects(const char* key) const {
  JsonArray* all = TRY(array(key));
  std::vector<JsonFields> found;
  for (guint i = 0; i < json_array_get_length(all); ++i) {
    JsonNode* node = json_array_get_element(all, i);
    if (!JSON_NODE_HOLDS_OBJECT(node)) return flaw(std::string(key) + " holds something else than objects");
    found.push_back(JsonFields(json_node_get_object(node), what_));
  }
  return found;
}

Result<std::optional<JsonFields>> JsonFields::object_or_none(const char* key) const {
  if (is_absent(key)) return std::optional<JsonFields>();
  JsonNode* node = json_object_get_member(object_, key);
  if (!JSON_NODE_HOLDS_OBJECT(node)) return flaw(std::string(key) + " is no object");
  return std::optional(JsonFields(json_node_get_object(node), what_));
}

}  // namespace tapferry
