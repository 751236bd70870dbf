// SPDX-License-Identifier: MIT
//
// The first line is a SPEC (or --br=BRIDGE), the rest a policy; a few callers of every sort ask for
// it. What has to hold for whatever text: an allow has an allow rule behind it that fits, a deny
// that matches is never overruled, and a rule's normalised text is the rule.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/parse.h"
#include "helper/policy.h"
#include "helper/policy_explain.h"
#include "helper/policy_fit.h"
#include "helper/policy_parse.h"

using namespace tapferry;

namespace {

void require(bool condition) {
  if (!condition) abort();
}

const Accounts& accounts() {
  static const Accounts known =
      parse_accounts("root:x:0:0::/:\nalice:x:2001:2001::/:\nbob:x:2002:2002::/:\nal:x:2001:2001::/:\n",
                     "alice:x:2001:\nvms:x:2100:alice\nghosts:x:2104:casper\n");
  return known;
}

const std::vector<Caller>& callers() {
  static const std::vector<Caller> known = {
      describe_caller(0, 0, {}, accounts()), describe_caller(2001, 2001, {2100}, accounts()),
      describe_caller(2001, 65534, {}, accounts()), describe_caller(2002, 2002, {9000}, accounts()),
      describe_caller(3000, 2100, {}, accounts())};
  return known;
}

void check_normalised(const Rule& rule) {
  const std::string text = normalised_text(rule);
  if (text.size() > kMaxPolicyLine) return;
  const auto parsed = parse_policy(text, "f", "f");
  require(parsed.is_ok() && parsed.value().size() == 1);
  const Rule* again = std::get_if<Rule>(&parsed.value()[0]);
  require(again && normalised_text(*again) == text && rule_hash(*again) == rule_hash(rule));
}

void check_verdict(const Policy& policy, const Caller& caller, const Spec& request, const RequestForm& form) {
  const Verdict verdict = decide(policy, accounts(), caller, request, form);
  require(verdict.traces.size() == policy.rules.size());
  bool is_denied = false;
  for (const Rule& rule : policy.rules) {
    is_denied |= rule.verb == Verb::kDeny && !why_no_match(rule, accounts(), caller, request, form);
  }
  if (verdict.is_allowed) {
    require(!is_denied && verdict.rule.has_value());
    const Rule& rule = policy.rules.at(*verdict.rule);
    require(rule.verb == Verb::kAllow && rule.label == verdict.rule_label);
    require(!why_no_match(rule, accounts(), caller, request, form) && !why_no_fit(rule, request, form));
    require(verdict.effective.up.has_value());
    require(!why_no_fit(rule, verdict.effective, form));
  }
  require(!is_denied || verdict.rule.has_value());
  for (const char c : explain_json(policy, caller, request, verdict)) {
    require(static_cast<unsigned char>(c) >= 0x20);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t newline = text.find('\n');
  std::string_view request_text = text.substr(0, newline);
  text.remove_prefix(newline == std::string_view::npos ? size : newline + 1);

  Spec request;
  RequestForm form;
  if (consume_prefix(&request_text, "--br=")) {
    request.object = request_text;
    form.is_br_form = true;
  } else {
    auto parsed = parse_spec(request_text);
    if (parsed.is_ok()) request = std::move(parsed).value();
  }

  auto statements = parse_policy(text, "policy.conf", "policy.conf");
  if (!statements.is_ok()) {
    require(!statements.error().line().empty());
    return 0;
  }
  Policy policy;
  for (const Statement& statement : statements.value()) {
    if (const Rule* rule = std::get_if<Rule>(&statement)) policy.rules.push_back(*rule);
  }
  for (const Rule& rule : policy.rules) check_normalised(rule);
  for (const Caller& caller : callers()) check_verdict(policy, caller, request, form);

  // One deny for all at the end: whatever stood before, nothing is allowed.
  policy.rules.emplace_back().verb = Verb::kDeny;
  policy.rules.back().object.is_prefix = true;
  for (const Caller& caller : callers()) require(!decide(policy, accounts(), caller, request, form).is_allowed);
  return 0;
}
