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

// A shell takes a command as it stands: its backslashes are its own. But nothing may get at the terminal.
std::string printable(const std::string& command) {
  const bool is_plain = std::none_of(command.begin(), command.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f;
  });
  return is_plain ? command : escape(command);
}

const char* word_of(Severity severity) {
  switch (severity) {
    case Severity::kProblem: return "problem";
    case Severity::kWarning: return "warning";
    case Severity::kNote: return "note";
  }
  return "?";
}

std::string lines_of(const Outcome& outcome) {
  const Finding& finding = outcome.finding;
  if (!outcome.done.empty()) return escape(finding.object + ": " + outcome.done) + "\n";
  std::string line = std::string(word_of(finding.kind.severity)) + ": " + finding.object + ": " + finding.problem;
  if (outcome.error) return escape(line + "; not mended: " + why_not(*outcome.error)) + "\n";
  if (!finding.remedy.empty() && finding.command.empty()) line += "; mended by: " + finding.remedy;
  line = escape(line) + "\n";
  if (finding.command.empty()) return line;
  line += "    " + printable(finding.command) + "\n";
  // Not behind it: not every shell takes a comment there.
  return finding.remedy.empty() ? line : line + "    (" + escape(finding.remedy) + ")\n";
}

std::string counted(size_t count, const char* word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void text_or_null(JsonWriter* json, const char* key, const std::string& value) {
  if (value.empty()) {
    json->null(key);
  } else {
    json->text(key, value);
  }
}

void write_outcome(JsonWriter* json, const Outcome& outcome) {
  const Finding& finding = outcome.finding;
  json->begin_object(nullptr);
  json->text("id", finding.kind.id);
  json->text("severity", word_of(finding.kind.severity));
  json->text("check", outcome.check);
  json->text("object", finding.object);
  json->text("problem", finding.problem);
  text_or_null(json, "command", finding.command);
  json->text("remedy", finding.command.empty() ? finding.remedy : finding.command);
  json->boolean("repairable", static_cast<bool>(finding.repair));
  json->boolean("repaired", !outcome.done.empty());
  text_or_null(json, "done", outcome.done);
  text_or_null(json, "error", outcome.error ? why_not(*outcome.error) : "");
  json->end_object();
}

}  // namespace

size_t Report::count(Severity severity) const {
  return static_cast<size_t>(std::count_if(outcomes.begin(), outcomes.end(), [&](const Outcome& o) {
    return o.done.empty() && o.finding.kind.severity == severity;
  }));
}

bool Report::is_well() const { return errors.empty() && count(Severity::kProblem) == 0; }

std::string report_text(const Report& report) {
  std::string text;
  for (const Outcome& outcome : report.outcomes) text += lines_of(outcome);
  for (const std::string& note : report.notes) text += "note: " + escape(note) + "\n";
  const size_t problems = report.count(Severity::kProblem);
  const size_t warnings = report.count(Severity::kWarning);
  const bool has_mended = std::any_of(report.outcomes.begin(), report.outcomes.end(),
                                      [](const Outcome& outcome) { return !outcome.done.empty(); });
  std::string sum;
  if (problems > 0) sum = counted(problems, "problem");
  if (warnings > 0) sum += (sum.empty() ? "no problem, " : ", ") + counted(warnings, "warning");
  if (sum.empty() && !has_mended && report.errors.empty()) sum = "nothing is wrong";
  if (sum.empty()) return text;
  sum +=
      problems > 0 ? ", to be mended from the top: one can hide another" : "; looked at: " + listed(report.looked_at);
  return text + sum + "\n";
}

std::string report_json(const Report& report) {
  JsonWriter json;
  json.number("version", 1);
  json.boolean("well", report.is_well());
  json.texts("looked_at", report.looked_at);
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
