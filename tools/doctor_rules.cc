// SPDX-License-Identifier: MIT
#include "tools/doctor_rules.h"

#include <algorithm>

#include "base/parse.h"
#include "tools/json.h"

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "the helper's list of rules", reason); }

Result<JsonObject*> object_of(JsonNode* node) {
  if (node == nullptr || !JSON_NODE_HOLDS_OBJECT(node)) return flaw("something in it is no object");
  return json_node_get_object(node);
}

// Null and absent are the empty text.
Result<std::string> text(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || JSON_NODE_HOLDS_NULL(node)) return std::string();
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
    return flaw(std::string(key) + " is no string");
  }
  return std::string(json_node_get_string(node));
}

Result<int64_t> number(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64) {
    return flaw(std::string(key) + " is no number");
  }
  return static_cast<int64_t>(json_node_get_int(node));
}

Result<bool> boolean(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
    return flaw(std::string(key) + " is no boolean");
  }
  return json_node_get_boolean(node) != FALSE;
}

Result<JsonArray*> array(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || !JSON_NODE_HOLDS_ARRAY(node)) return flaw(std::string(key) + " is no array");
  return json_node_get_array(node);
}

Result<ListedRule> read_rule(JsonNode* node) {
  JsonObject* object = TRY(object_of(node));
  ListedRule rule;
  rule.label = TRY(text(object, "rule"));
  rule.text = TRY(text(object, "text"));
  rule.file = TRY(text(object, "file"));
  rule.line = TRY(number(object, "line"));
  const std::string verb = TRY(text(object, "verb"));
  rule.is_allow = verb == "allow";
  rule.kind = TRY(text(object, "kind"));
  rule.object = TRY(text(object, "object"));
  rule.applies = TRY(boolean(object, "applies"));
  rule.why = TRY(text(object, "why"));
  rule.new_login = TRY(text(object, "new_login"));
  return rule;
}

Status read_error(JsonObject* object, PolicyView* view) {
  JsonNode* node = json_object_get_member(object, "error");
  if (node == nullptr || JSON_NODE_HOLDS_NULL(node)) return {};
  JsonObject* error = TRY(object_of(node));
  PolicyError found;
  found.where = TRY(text(error, "where"));
  found.reason = TRY(text(error, "reason"));
  found.hint = TRY(text(error, "hint"));
  view->error = std::move(found);
  return {};
}

Result<JsonTree> parse(const std::string& json) {
  g_autoptr(GError) error = nullptr;
  if (!g_utf8_validate_len(json.data(), json.size(), nullptr)) return flaw("it isn't UTF-8");
  JsonNode* root = json_from_string(json.c_str(), &error);
  if (error != nullptr) return flaw(error->message);
  if (root == nullptr) return flaw("it is empty");
  return JsonTree(root);
}

}  // namespace

bool ListedRule::needs_service() const {
  return kind == "macvtap" || kind == "device" || is_about_ovs() || has("lock=on") || has("filter=auto");
}

bool ListedRule::has(std::string_view beginning) const {
  const std::vector<std::string_view> words = split_words(text);
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return word.starts_with(beginning); });
}

Result<PolicyView> read_rules(const std::string& json) {
  const JsonTree root = TRY(parse(json));
  JsonObject* object = TRY(object_of(root.get()));
  const int64_t version = TRY(number(object, "version"));
  if (version != 1) return flaw("its version is " + std::to_string(version) + ", and this program knows version 1");
  PolicyView view;
  view.path = TRY(text(object, "policy"));
  view.user = TRY(text(object, "user"));
  view.uid = TRY(number(object, "uid"));
  TRY(read_error(object, &view));
  JsonArray* rules = TRY(array(object, "rules"));
  for (guint i = 0; i < json_array_get_length(rules); ++i) {
    view.rules.push_back(TRY(read_rule(json_array_get_element(rules, i))));
  }
  JsonArray* skipped = TRY(array(object, "skipped"));
  for (guint i = 0; i < json_array_get_length(skipped); ++i) {
    JsonNode* node = json_array_get_element(skipped, i);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
      return flaw("skipped holds something else than strings");
    }
    view.skipped.emplace_back(json_node_get_string(node));
  }
  return view;
}

}  // namespace tapferry
