// SPDX-License-Identifier: MIT
//
// One policy file's text into statements. Pure. Any malformed line is an error for the whole file: a line that is
// passed over might have been a deny.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "helper/policy.h"

namespace tapferry {

inline constexpr size_t kMaxPolicyLine = 4095;  // bytes without the newline; QEMU's buffer

struct Include {
  std::string path;  // absolute
  unsigned line = 0;
  bool is_glob = false;  // `*` or `?` in the last component
};

using Statement = std::variant<Rule, Include>;

// `file` is what errors name ("FILE:LINE"), `label` what the rules' labels begin with ("policy.conf").
Result<std::vector<Statement>> parse_policy(std::string_view text, const std::string& file, const std::string& label);

}  // namespace tapferry
