// SPDX-License-Identifier: MIT
#include "helper/policy_explain.h"

#include "base/text.h"
#include "helper/policy_fit.h"

namespace tapferry {
namespace {

std::string_view outcome_word(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDecides: return "decides";
    case Outcome::kDenies: return "denies";
    case Outcome::kNoMatch: return "does not match";
    case Outcome::kNoFit: return "does not fit";
    case Outcome::kNotReached: return "not reached";
  }
  return "?";
}

// "key":"value", or "key":null for what there is not.
std::string pair_or_null(std::string_view key, std::string_view value) {
  if (!value.empty()) return json_pair(key, value);
  return "\"" + std::string(key) + "\":null";
}

std::string user_pairs(const Caller& caller) {
  return pair_or_null("user", caller.is_in_database() ? caller.names[0] : "") +
         ",\"uid\":" + std::to_string(caller.uid);
}

// The altname that a slot of the quota has, without the slot's number.
std::string quota_pair(const Caller& caller, const Verdict& verdict) {
  if (!verdict.is_allowed || !verdict.quota_max) return "\"quota\":null";
  const std::string key = "tapferry.u" + std::to_string(caller.uid) + "." + verdict.rule_hash;
  return "\"quota\":{\"max\":" + std::to_string(*verdict.quota_max) + "," + json_pair("key", key) + "}";
}

std::string rule_object(const Rule& rule, const Trace& trace) {
  return "{" + json_pair("rule", rule.label) + "," + json_pair("text", rule.text) + "," +
         json_pair("outcome", outcome_word(trace.outcome)) + "," + json_pair("why", trace.why) + "}";
}

std::string head(bool is_allowed, std::string_view rule, std::string_view reason) {
  return std::string("{\"version\":1,\"allowed\":") + (is_allowed ? "true," : "false,") + pair_or_null("rule", rule) +
         "," + json_pair("reason", reason) + ",";
}

std::string listed_rule(const Rule& rule, const Accounts& accounts, const Caller& caller) {
  const auto why = why_other_caller(rule, accounts, caller);
  return "{" + json_pair("rule", rule.label) + "," + json_pair("text", rule.text) + "," + json_pair("file", rule.file) +
         ",\"line\":" + std::to_string(rule.line) + "," +
         json_pair("verb", rule.verb == Verb::kAllow ? "allow" : "deny") + "," +
         pair_or_null("kind", rule.kind ? kind_name(*rule.kind) : "") + "," +
         json_pair("object", to_string(rule.object)) + ",\"applies\":" + (why ? "false" : "true") + "," +
         pair_or_null("why", why.value_or("")) + "," +
         pair_or_null("new_login", why ? group_after_next_login(rule, accounts, caller) : "") + "}";
}

// "a,b"
template <typename T, typename ToText>
std::string joined(const std::vector<T>& values, ToText to_text) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ",") + to_text(value);
  return text;
}

std::string listed_error(const Error& error) {
  return "{" + json_pair("where", error.object()) + "," + json_pair("reason", error.reason()) + "," +
         pair_or_null("hint", error.hint()) + "}";
}

}  // namespace

std::string rules_json(const Result<Policy>& policy, std::string_view path, const Accounts& accounts,
                       const Caller& caller) {
  const Policy none;
  const Policy& read = policy.is_ok() ? policy.value() : none;
  std::string json = "{\"version\":1," + json_pair("policy", policy.is_ok() ? read.path : path) + ",";
  json += user_pairs(caller) + ",\"error\":" + (policy.is_ok() ? "null" : listed_error(policy.error()));
  json += ",\"rules\":[" + joined(read.rules, [&](const Rule& r) { return listed_rule(r, accounts, caller); });
  json += "],\"skipped\":[" + joined(read.skipped, [](const std::string& p) { return "\"" + json_escape(p) + "\""; });
  return json + "]}";
}

std::string explain_json(const Policy& policy, const Caller& caller, const Spec& request, const Verdict& verdict) {
  std::string json = head(verdict.is_allowed, verdict.rule_label, verdict.reason);
  json += json_pair("request", to_string(request)) + ",";
  json += pair_or_null("effective", verdict.is_allowed ? to_string(verdict.effective) : "") + ",";
  json += user_pairs(caller) + "," + quota_pair(caller, verdict) + ",\"rules\":[";
  for (size_t i = 0; i < policy.rules.size() && i < verdict.traces.size(); ++i) {
    if (i > 0) json += ',';
    json += rule_object(policy.rules[i], verdict.traces[i]);
  }
  json += "],\"skipped\":[";
  for (size_t i = 0; i < policy.skipped.size(); ++i) {
    if (i > 0) json += ',';
    json += "\"" + json_escape(policy.skipped[i]) + ": not readable by the caller\"";
  }
  return json + "]}";
}

std::string explain_json(const Error& error, const Caller& caller, std::string_view request) {
  return head(false, "", error.line()) + json_pair("request", request) + ",\"effective\":null," + user_pairs(caller) +
         ",\"quota\":null,\"rules\":[],\"skipped\":[]}";
}

}  // namespace tapferry
