// SPDX-License-Identifier: MIT
#include "helper/policy.h"

#include <cstdio>

#include "helper/policy_fit.h"

namespace tapferry {
namespace {

template <typename T, typename ToText>
std::string join(const std::vector<T>& values, ToText to_text) {
  std::string text;
  for (const T& value : values) {
    if (!text.empty()) text += ',';
    text += to_text(value);
  }
  return text;
}

// The rule without max=.
std::string identity(const Rule& rule) {
  std::string text = rule.verb == Verb::kAllow ? "allow " : "deny ";
  if (rule.kind) {
    text += kind_name(*rule.kind);
    text += '=';
  }
  text += to_string(rule.object);
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    text += ' ';
    text += key;
    text += '=';
    text += value;
  };
  const auto same = [](const std::string& value) { return value; };
  const auto pattern = [](const Pattern& value) { return to_string(value); };
  add("user", join(rule.users, same));
  add("group", join(rule.groups, same));
  if (rule.queues != 1) add("queues", std::to_string(rule.queues));
  add("mode", join(rule.modes, mode_name));
  add("guest_mac", join(rule.guest_macs, pattern));
  add("name", join(rule.names, pattern));
  add("mac", join(rule.macs, pattern));
  add("iface_id", join(rule.iface_ids, pattern));
  if (rule.mtu) add("mtu", std::to_string(*rule.mtu));
  if (rule.vhost) add("vhost", "on");
  if (rule.persist) add("persist", "on");
  if (rule.lock) add("lock", "on");
  if (rule.isolated) add("isolated", "on");
  if (rule.up_off) add("up", "off");
  if (rule.rate_to) add("rate_to", rate_to_string(*rule.rate_to));
  if (rule.rate_from) add("rate_from", rate_to_string(*rule.rate_from));
  if (rule.filter) add("filter", to_string(*rule.filter));
  return text;
}

// What every rule makes of the request by itself; which of several counts is decide()'s.
Trace consider(const Rule& rule, const Accounts& accounts, const Caller& caller, const Spec& request,
               const RequestForm& form) {
  if (auto why = why_no_match(rule, accounts, caller, request, form)) return {Outcome::kNoMatch, std::move(*why)};
  if (rule.verb == Verb::kDeny) return {Outcome::kDenies, "it denies this to " + to_string(caller)};
  if (auto why = why_no_fit(rule, request, form)) return {Outcome::kNoFit, std::move(*why)};
  return {Outcome::kDecides, "it allows everything that is asked"};
}

std::optional<size_t> first_with(const std::vector<Trace>& traces, Outcome outcome) {
  for (size_t i = 0; i < traces.size(); ++i) {
    if (traces[i].outcome == outcome) return i;
  }
  return std::nullopt;
}

}  // namespace

bool Pattern::matches(std::string_view candidate) const {
  return is_prefix ? candidate.starts_with(text) : candidate == text;
}

std::string to_string(const Pattern& pattern) { return pattern.is_prefix ? pattern.text + "*" : pattern.text; }

std::string normalised_text(const Rule& rule) {
  if (rule.verb == Verb::kAllow && !rule.max) return "allow " + (rule.object.is_prefix ? "all" : rule.object.text);
  std::string text = identity(rule);
  if (rule.max && rule.kind != Kind::kDevice) text += " max=" + std::to_string(*rule.max);
  return text;
}

std::string rule_hash(const Rule& rule) {
  // FNV-1a, 64 bits. Rules are the administrator's, so nobody can aim at a collision.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : identity(rule)) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  char digits[17];
  snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

Verdict decide(const Policy& policy, const Accounts& accounts, const Caller& caller, const Spec& request,
               const RequestForm& form) {
  Verdict verdict;
  verdict.asked = request;
  verdict.traces.reserve(policy.rules.size());
  for (const Rule& rule : policy.rules) {
    verdict.traces.push_back(consider(rule, accounts, caller, request, form));
  }
  // A deny wins wherever it stands.
  const auto deny = first_with(verdict.traces, Outcome::kDenies);
  verdict.rule = deny ? deny : first_with(verdict.traces, Outcome::kDecides);
  if (!verdict.rule) {
    verdict.reason = "no rule allows it";
    return verdict;
  }
  const Rule& rule = policy.rules[*verdict.rule];
  verdict.rule_label = rule.label;
  verdict.is_allowed = !deny;
  verdict.reason = rule.label + (deny ? " denies it" : " allows it");
  for (size_t i = 0; i < verdict.traces.size(); ++i) {
    if (verdict.traces[i].outcome != Outcome::kDecides || i == *verdict.rule) continue;
    verdict.traces[i] = {Outcome::kNotReached, "it would allow this, but " + verdict.reason};
  }
  if (verdict.is_allowed) {
    verdict.effective = apply_forced(rule, request);
    // What is there already isn't made under a rule.
    if (request.kind != Kind::kDevice) verdict.quota_max = rule.max;
    verdict.rule_hash = rule_hash(rule);
    verdict.stays_down = rule.up_off;
  }
  return verdict;
}

}  // namespace tapferry
