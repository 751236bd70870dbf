// SPDX-License-Identifier: MIT
//
// The policy as `tapferry-helper --rules` tells it, read: the helper is the only program that parses policies.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tapferry {

struct ListedRule {
  std::string label;  // "policy.conf:3"
  std::string text;
  std::string file;
  int64_t line = 0;
  bool is_allow = false;
  std::string kind;       // "bridge", ...; empty: every kind
  std::string object;     // may end in *
  bool applies = false;   // it is about the caller
  std::string why;        // why it isn't
  std::string new_login;  // the group that the caller would have after a new login

  // Whether it is about one object, which it names.
  bool is_literal() const { return !object.empty() && !object.ends_with('*'); }
  // Whether "KEY=VALUE" or "KEY=..." stands in it.
  bool has(std::string_view beginning) const;
  // Whether its bridge is Open vSwitch's.
  bool is_about_ovs() const { return kind == "bridge" && object.starts_with("ovs:"); }
  // Whether what it allows takes a process of the user tapferry, and so a helper that is setuid root.
  bool needs_service() const;
};

struct PolicyError {
  std::string where;  // "FILE" or "FILE:LINE"
  std::string reason;
  std::string hint;
};

struct PolicyView {
  std::string path;
  std::string user;  // empty: not in the user database
  int64_t uid = 0;
  std::optional<PolicyError> error;
  std::vector<ListedRule> rules;
  std::vector<std::string> skipped;  // includes that the caller may not read

  // The user's name, or the number.
  std::string who() const { return user.empty() ? std::to_string(uid) : user; }
};

Result<PolicyView> read_rules(const std::string& json);

}  // namespace tapferry
