// SPDX-License-Identifier: MIT
//
// What `tapferry doctor` says: the findings and what became of them, as lines or as one JSON object.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/doctor.h"

namespace tapferry {

struct Outcome {
  std::string check;  // which one found it
  Finding finding;
  std::string done;            // what --repair did; empty: nothing
  std::optional<Error> error;  // why --repair could not
};

struct Report {
  std::vector<Outcome> outcomes;
  std::vector<std::string> looked_at;  // the checks' names
  std::vector<std::string> notes;
  std::vector<Error> errors;  // checks that could not be made

  // Of the findings that are still true.
  size_t count(Severity severity) const;
  // There is no problem, or there was and is none any more.
  bool is_well() const;
};

// One line for each finding, "SEVERITY: OBJECT: PROBLEM", with the command that mends it below, or "OBJECT: DONE"; then one that
// sums up. The errors aren't in it: they belong on stderr.
std::string report_text(const Report& report);

// One line.
std::string report_json(const Report& report);

}  // namespace tapferry
