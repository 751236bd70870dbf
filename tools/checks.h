// SPDX-License-Identifier: MIT
//
// What was asked against what was received, row by row. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/spec.h"
#include "tools/inspect.h"

namespace tapferry {

// What is right depends on how it was asked.
struct Asked {
  enum class Form {
    kNet,     // --net=SPEC: a record comes with the descriptors
    kBridge,  // QEMU's --br: one zero byte, one blocking descriptor, a header of 10 bytes
    kListen,  // from whoever connected: nothing was asked
  };
  Form form = Form::kNet;
  Spec spec;         // of kNet; for kBridge the bridge alone
  uint32_t uid = 0;  // who asked
};

enum class CheckResult { kOk, kWrong, kNothingAsked };

struct Check {
  std::string property;
  std::string asked;  // empty: nothing
  std::string received;
  CheckResult result = CheckResult::kNothingAsked;
};

std::vector<Check> check_facts(const Asked& asked, const Facts& facts);

bool is_all_right(const std::vector<Check>& checks);

// "ok", "WRONG" or "-".
const char* result_word(CheckResult result);

}  // namespace tapferry
