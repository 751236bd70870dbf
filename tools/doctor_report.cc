// SPDX-License-Identifier: MIT
#include "tools/doctor_report.h"

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "tools/json.h"

namespace tapferry {
namespace {

std::string why_not(const Error& error) {
  if (error.code() == EBUSY) return "something holds it that can't be seen here";
  return error.line();
}

std::string line_of(const Outcome& outcome) {
  std::string line = outcome.finding.object + ": ";
  if (!outcome.done.empty()) {
    line += outcome.done;
  } else if (outcome.error) {
    line += outcome.finding.problem + "; not mended: " + why_not(*outcome.error);
  } else {
    line += outcome.finding.problem + "; mended by: " + outcome.finding.remedy;
  }
  return escape(line) + "\n";
}

void write_outcome(JsonWriter* json, const Outcome& outcome) {
  json->begin_object(nullptr);
  json->text("check", outcome.check);
  json->text("object", outcome.finding.object);
  json->text("problem", outcome.finding.problem);
  json->text("remedy", outcome.finding.remedy);
  json->boolean("repairable", static_cast<bool>(outcome.finding.repair));
  json->boolean("repaired", !outcome.done.empty());
  if (outcome.done.empty()) {
    json->null("done");
  } else {
    json->text("done", outcome.done);
  }
  if (outcome.error) {
    json->text("error", why_not(*outcome.error));
  } else {
    json->null("error");
  }
  json->end_object();
}

}  // namespace

bool Report::is_well() const {
  return errors.empty() &&
         std::all_of(outcomes.begin(), outcomes.end(), [](const Outcome& o) { return !o.done.empty(); });
}

std::string report_text(const Report& report) {
  std::string text;
  for (const Outcome& outcome : report.outcomes) text += line_of(outcome);
  if (report.outcomes.empty() && report.errors.empty()) text += "nothing is wrong\n";
  for (const std::string& note : report.notes) text += "note: " + escape(note) + "\n";
  return text;
}

std::string report_json(const Report& report) {
  JsonWriter json;
  json.number("version", 1);
  json.boolean("well", report.is_well());
  json.begin_array("findings");
  for (const Outcome& outcome : report.outcomes) write_outcome(&json, outcome);
  json.end_array();
  json.texts("notes", report.notes);
  std::vector<std::string> errors;
  for (const Error& error : report.errors) errors.push_back(error.line());
  json.texts("errors", errors);
  return json.take_line();
}

}  // namespace tapferry
