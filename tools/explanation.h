// SPDX-License-Identifier: MIT
//
// The helper's explanation of a decision (`tapferry-helper --explain`), read and written for people.
#pragma once

#include <json-glib/json-glib.h>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/json.h"

namespace tapferry {

struct ExplainedRule {
  std::string rule;  // "policy.conf:3"
  std::string text;
  std::string outcome;  // "decides", "denies", ...
  std::string why;
};

struct Explanation {
  bool is_allowed = false;
  std::string rule;  // empty: none decided
  std::string reason;
  std::string request;
  std::string effective;  // empty when refused
  std::string user;       // empty: not in the user database
  int64_t uid = 0;
  std::optional<int64_t> quota_max;
  std::string quota_key;
  std::vector<ExplainedRule> rules;
  std::vector<std::string> skipped;
};

// What this program adds to it by looking at the host.
struct HostNotes {
  std::optional<int64_t> held;     // slots of the quota that are taken
  std::vector<std::string> notes;  // sentences
};

// One JSON object of version 1; keys that it doesn't know are passed over.
Result<JsonTree> parse_explanation(const std::string& json);
Result<Explanation> read_explanation(JsonNode* root);

std::string explanation_text(const Explanation& explanation, const HostNotes& notes);

// The object with "held" in its quota and "notes" added, in one line.
std::string explanation_json(JsonNode* root, const HostNotes& notes);

}  // namespace tapferry
