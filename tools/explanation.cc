// SPDX-License-Identifier: MIT
#include "tools/explanation.h"

#include <algorithm>

#include "base/text.h"
#include "tools/json.h"

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "the helper's explanation", reason); }

Result<JsonNode*> member(JsonObject* object, const char* key, GType type) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != type) {
    return flaw(std::string(key) + " is missing or of another type");
  }
  return node;
}

Result<std::string> text(JsonObject* object, const char* key) {
  return std::string(json_node_get_string(TRY(member(object, key, G_TYPE_STRING))));
}

Result<std::string> text_or_null(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node != nullptr && JSON_NODE_HOLDS_NULL(node)) return std::string();
  return text(object, key);
}

Result<int64_t> number(JsonObject* object, const char* key) {
  return static_cast<int64_t>(json_node_get_int(TRY(member(object, key, G_TYPE_INT64))));
}

Result<JsonArray*> array(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  if (node == nullptr || !JSON_NODE_HOLDS_ARRAY(node)) return flaw(std::string(key) + " is no array");
  return json_node_get_array(node);
}

Status read_quota(JsonObject* object, Explanation* explanation) {
  JsonNode* node = json_object_get_member(object, "quota");
  if (node == nullptr || JSON_NODE_HOLDS_NULL(node)) return {};
  if (!JSON_NODE_HOLDS_OBJECT(node)) return flaw("quota is no object");
  JsonObject* quota = json_node_get_object(node);
  explanation->quota_max = TRY(number(quota, "max"));
  explanation->quota_key = TRY(text(quota, "key"));
  return {};
}

Result<ExplainedRule> read_rule(JsonNode* node) {
  if (!JSON_NODE_HOLDS_OBJECT(node)) return flaw("a rule is no object");
  JsonObject* object = json_node_get_object(node);
  ExplainedRule rule;
  rule.rule = TRY(text(object, "rule"));
  rule.text = TRY(text(object, "text"));
  rule.outcome = TRY(text(object, "outcome"));
  rule.why = TRY(text(object, "why"));
  return rule;
}

Status read_lists(JsonObject* object, Explanation* explanation) {
  JsonArray* rules = TRY(array(object, "rules"));
  for (guint i = 0; i < json_array_get_length(rules); ++i) {
    explanation->rules.push_back(TRY(read_rule(json_array_get_element(rules, i))));
  }
  JsonArray* skipped = TRY(array(object, "skipped"));
  for (guint i = 0; i < json_array_get_length(skipped); ++i) {
    JsonNode* node = json_array_get_element(skipped, i);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
      return flaw("skipped holds something else than strings");
    }
    explanation->skipped.emplace_back(json_node_get_string(node));
  }
  return {};
}

std::string verdict_line(const Explanation& explanation) {
  const std::string who = explanation.user.empty() ? "uid " + std::to_string(explanation.uid)
                                                   : explanation.user + " (" + std::to_string(explanation.uid) + ")";
  std::string line = explanation.is_allowed ? "allowed: " : "refused: ";
  line += escape(explanation.request) + " for " + escape(who);
  if (!explanation.rule.empty()) line += ", by " + escape(explanation.rule);
  return line + "\n";
}

std::string rule_lines(const std::vector<ExplainedRule>& rules) {
  if (rules.empty()) return "";
  size_t width = 0;
  for (const ExplainedRule& rule : rules) width = std::max(width, escape(rule.rule).size());
  std::string lines = "rules:\n";
  for (const ExplainedRule& rule : rules) {
    const std::string label = escape(rule.rule);
    lines += "  " + label + std::string(width - label.size() + 2, ' ') + escape(rule.text) + "\n";
    lines += "  " + std::string(width + 4, ' ') + escape(rule.outcome);
    if (!rule.why.empty()) lines += ": " + escape(rule.why);
    lines += "\n";
  }
  return lines;
}

}  // namespace

Result<JsonTree> parse_explanation(const std::string& json) {
  g_autoptr(GError) error = nullptr;
  if (!g_utf8_validate_len(json.data(), json.size(), nullptr)) return flaw("it isn't UTF-8");
  JsonNode* root = json_from_string(json.c_str(), &error);
  if (error != nullptr) return flaw(error->message);
  if (root == nullptr) return flaw("it is empty");
  return JsonTree(root);
}

Result<Explanation> read_explanation(JsonNode* root) {
  if (!JSON_NODE_HOLDS_OBJECT(root)) return flaw("it is no object");
  JsonObject* object = json_node_get_object(root);
  const int64_t version = TRY(number(object, "version"));
  if (version != 1) return flaw("its version is " + std::to_string(version) + ", and this program knows version 1");
  Explanation explanation;
  explanation.is_allowed = json_node_get_boolean(TRY(member(object, "allowed", G_TYPE_BOOLEAN))) != FALSE;
  explanation.rule = TRY(text_or_null(object, "rule"));
  explanation.reason = TRY(text(object, "reason"));
  explanation.request = TRY(text(object, "request"));
  explanation.effective = TRY(text_or_null(object, "effective"));
  explanation.user = TRY(text_or_null(object, "user"));
  explanation.uid = TRY(number(object, "uid"));
  TRY(read_quota(object, &explanation));
  TRY(read_lists(object, &explanation));
  return explanation;
}

std::string explanation_text(const Explanation& explanation, const HostNotes& notes) {
  std::string out = verdict_line(explanation);
  out += "  " + escape(explanation.reason) + "\n";
  if (!explanation.effective.empty() && explanation.effective != explanation.request) {
    out += "  what is handed over: " + escape(explanation.effective) + "\n";
  }
  out += rule_lines(explanation.rules);
  if (explanation.quota_max) {
    out += "quota: " + (notes.held ? std::to_string(*notes.held) : std::string("?")) + " of " +
           std::to_string(*explanation.quota_max) + " interfaces held under this rule\n";
  } else if (explanation.is_allowed) {
    out += "quota: none\n";
  }
  for (const std::string& skipped : explanation.skipped) out += "skipped: " + escape(skipped) + "\n";
  for (const std::string& note : notes.notes) out += "note: " + escape(note) + "\n";
  return out;
}

std::string explanation_json(JsonNode* root, const HostNotes& notes) {
  JsonObject* object = json_node_get_object(root);
  JsonNode* quota = json_object_get_member(object, "quota");
  if (notes.held && quota != nullptr && JSON_NODE_HOLDS_OBJECT(quota)) {
    json_object_set_int_member(json_node_get_object(quota), "held", *notes.held);
  }
  JsonArray* array = json_array_new();
  for (const std::string& note : notes.notes) json_array_add_string_element(array, escape(note).c_str());
  json_object_set_array_member(object, "notes", array);
  return json_line(root);
}

}  // namespace tapferry
