// SPDX-License-Identifier: MIT
#include "tools/explanation.h"

#include <algorithm>

#include "base/text.h"
#include "tools/json_fields.h"

namespace tapferry {
namespace {

constexpr const char* kWhat = "the helper's explanation";

Result<ExplainedRule> read_rule(const JsonFields& fields) {
  ExplainedRule rule;
  rule.rule = TRY(fields.text("rule"));
  rule.text = TRY(fields.text("text"));
  rule.outcome = TRY(fields.text("outcome"));
  rule.why = TRY(fields.text("why"));
  return rule;
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

Result<JsonTree> parse_explanation(const std::string& json) { return parse_json(json, kWhat); }

Result<Explanation> read_explanation(JsonNode* root) {
  const JsonFields fields = TRY(JsonFields::of(root, kWhat));
  TRY(fields.expect_version(1));
  Explanation explanation;
  explanation.is_allowed = TRY(fields.boolean("allowed"));
  explanation.rule = TRY(fields.text_or_empty("rule"));
  explanation.reason = TRY(fields.text("reason"));
  explanation.request = TRY(fields.text("request"));
  explanation.effective = TRY(fields.text_or_empty("effective"));
  explanation.user = TRY(fields.text_or_empty("user"));
  explanation.uid = TRY(fields.number("uid"));
  const std::optional<JsonFields> quota = TRY(fields.object_or_none("quota"));
  if (quota) {
    explanation.quota_max = TRY(quota->number("max"));
    explanation.quota_key = TRY(quota->text("key"));
  }
  for (const JsonFields& rule : TRY(fields.objects("rules"))) explanation.rules.push_back(TRY(read_rule(rule)));
  explanation.skipped = TRY(fields.texts("skipped"));
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
