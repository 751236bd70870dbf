// SPDX-License-Identifier: MIT
#include "tools/doctor_rules.h"

#include <algorithm>

#include "base/parse.h"
#include "tools/json_fields.h"

namespace tapferry {
namespace {

constexpr const char* kWhat = "the helper's list of rules";

Result<ListedRule> read_rule(const JsonFields& fields) {
  ListedRule rule;
  rule.label = TRY(fields.text_or_empty("rule"));
  rule.text = TRY(fields.text_or_empty("text"));
  rule.file = TRY(fields.text_or_empty("file"));
  rule.line = TRY(fields.number("line"));
  const std::string verb = TRY(fields.text_or_empty("verb"));
  rule.is_allow = verb == "allow";
  rule.kind = TRY(fields.text_or_empty("kind"));
  rule.object = TRY(fields.text_or_empty("object"));
  rule.applies = TRY(fields.boolean("applies"));
  rule.why = TRY(fields.text_or_empty("why"));
  rule.new_login = TRY(fields.text_or_empty("new_login"));
  return rule;
}

Result<PolicyError> read_error(const JsonFields& fields) {
  PolicyError error;
  error.where = TRY(fields.text_or_empty("where"));
  error.reason = TRY(fields.text_or_empty("reason"));
  error.hint = TRY(fields.text_or_empty("hint"));
  return error;
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
  const JsonTree root = TRY(parse_json(json, kWhat));
  const JsonFields fields = TRY(JsonFields::of(root.get(), kWhat));
  TRY(fields.expect_version(1));
  PolicyView view;
  view.path = TRY(fields.text_or_empty("policy"));
  view.user = TRY(fields.text_or_empty("user"));
  view.uid = TRY(fields.number("uid"));
  const std::optional<JsonFields> error = TRY(fields.object_or_none("error"));
  if (error) view.error = TRY(read_error(*error));
  for (const JsonFields& rule : TRY(fields.objects("rules"))) view.rules.push_back(TRY(read_rule(rule)));
  view.skipped = TRY(fields.texts("skipped"));
  return view;
}

}  // namespace tapferry
