// SPDX-License-Identifier: MIT
//
// AppArmor confines libvirtd wherever it runs, a user's too, and its profile names the helpers that it may start by their paths. The
// profile's source is looked at, for what is loaded only root may see.

#include <cstdlib>
#include <fstream>
#include <glib.h>
#include <unistd.h>
#include <vector>

#include "base/parse.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"
#include "tools/doctor_libvirt.h"

namespace tapferry {
namespace {

constexpr const char* kEnabled = "/sys/module/apparmor/parameters/enabled";
constexpr const char* kFolder = "/etc/apparmor.d";
constexpr const char* kProfiles[] = {"usr.sbin.libvirtd", "usr.sbin.virtqemud"};

bool is_enabled() {
  std::ifstream file(kEnabled);
  std::string value;
  return file >> value && value == "Y";
}

// A path pattern of a rule (apparmor.d(5), "Globbing") as a regular expression.
std::string regex_of(std::string_view pattern) {
  std::string regex = "^";
  int depth = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*') {
      const bool is_deep = i + 1 < pattern.size() && pattern[i + 1] == '*';
      regex += is_deep ? ".*" : "[^/]*";
      i += is_deep ? 1 : 0;
    } else if (c == '?') {
      regex += "[^/]";
    } else if (c == '{') {
      ++depth;
      regex += "(?:";
    } else if (c == '}' && depth > 0) {
      --depth;
      regex += ")";
    } else if (c == ',' && depth > 0) {
      regex += "|";
    } else if (std::string_view(".+()^$|\\@").find(c) != std::string_view::npos) {
      regex += std::string("\\") + c;
    } else {
      regex += c;
    }
  }
  return regex + "$";
}

// "/path/of/{some,other}/program PUx," that is about the path and lets it be executed.
bool is_execution_rule(std::string_view line, const std::string& path) {
  const auto words = split_words(line);
  if (words.size() < 2 || !words[0].starts_with('/')) return false;
  if (words[1].find_first_of("xX") == std::string_view::npos) return false;
  return g_regex_match_simple(regex_of(words[0]).c_str(), path.c_str(), static_cast<GRegexCompileFlags>(0),
                              static_cast<GRegexMatchFlags>(0)) != FALSE;
}

// Of the profile itself, not of those inside it: their rules are indented deeper, behind "profile NAME {".
bool lets_execute(const std::string& file, const std::string& path) {
  std::ifstream source(file);
  int depth = 0;
  for (std::string line; std::getline(source, line);) {
    const auto words = split_words(line);
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words.back() == "{") ++depth;
    if (words[0] == "}") --depth;
    if (depth <= 1 && is_execution_rule(line, path)) return true;
  }
  return false;
}

// Loaded and enforced, as far as its source tells.
bool is_enforced(const std::string& name) {
  if (access((std::string(kFolder) + "/disable/" + name).c_str(), F_OK) == 0) return false;
  std::ifstream source(std::string(kFolder) + "/" + name);
  for (std::string line; std::getline(source, line);) {
    if (line.find("complain") != std::string::npos && line.ends_with("{")) return false;
  }
  return access((std::string(kFolder) + "/" + name).c_str(), R_OK) == 0;
}

std::string real_path(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string text = real != nullptr ? real : path;
  free(real);
  return text;
}

}  // namespace

Status check_apparmor(const Patient& patient, Diagnosis* diagnosis) {
  // Who has libvirt start another helper, or none, isn't concerned.
  const auto used = helper_in(session_conf());
  if (!is_enabled() || !used || !is_same_file(*used, patient.helper)) return {};
  const std::string path = real_path(patient.helper);
  for (const char* name : kProfiles) {
    const std::string profile = std::string(kFolder) + "/" + name;
    const std::string own = std::string(kFolder) + "/local/" + name;
    if (!is_enforced(name) || lets_execute(profile, path) || lets_execute(own, path)) continue;
    diagnosis->findings.push_back(
        {finding::kAppArmorDenies, "AppArmor's " + profile,
         "libvirt may not start " + path + ", so its domains get no interface from it",
         append_command(path + " PUx,", own) + " && " + as_root("apparmor_parser -r " + shell_word(profile)), ""});
  }
  return {};
}

}  // namespace tapferry
