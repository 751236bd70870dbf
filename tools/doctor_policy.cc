// SPDX-License-Identifier: MIT
//
// The policy: whether it can be read in full, which file it is, and whether it allows anything to whom the doctor was asked
// about. What it says is asked from the helper; here only the files are looked at.

#include <algorithm>
#include <cerrno>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "net/link.h"
#include "paths.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

constexpr const char* kPolicyPath = TAPFERRY_POLICY_PATH;

std::string object_of(const std::string& path) { return "policy " + path; }

// ---- A policy that can't be read --------------------------------------------------------------------

// What an error of the helper's is about.
struct Culprit {
  std::string file;  // that has the line
  long line = 0;     // 0: the file as a whole
  std::string path;  // the file or directory that is to blame
  std::string reason;
  std::string hint;
};

// "FILE", "FILE:LINE"; and before the reason "include PATH: ", where it is about an included one (helper/policy_load.cc). No
// path of a policy has a blank in it.
Culprit culprit_of(const PolicyError& error) {
  Culprit culprit = {error.where, 0, "", error.reason, error.hint};
  const size_t colon = error.where.rfind(':');
  if (colon != std::string::npos) {
    if (const auto line = parse_uint(std::string_view(error.where).substr(colon + 1), 1, INT32_MAX)) {
      culprit.file = error.where.substr(0, colon);
      culprit.line = static_cast<long>(*line);
    }
  }
  culprit.path = culprit.file;
  std::string_view rest = error.reason;
  const size_t end = rest.find(": ");
  if (consume_prefix(&rest, "include ") && end != std::string_view::npos) {
    culprit.path = rest.substr(0, rest.find(": "));
    culprit.reason = rest.substr(rest.find(": ") + 2);
    // Of a pattern it is the directory.
    if (culprit.path.find_first_of("*?") != std::string::npos) culprit.path.resize(culprit.path.rfind('/'));
  }
  return culprit;
}

// The first directory above the path that the caller may not enter, or nothing.
std::string closed_directory(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string directory = path.substr(0, slash);
    if (access(directory.c_str(), X_OK) != 0 && errno == EACCES) return directory;
  }
  return "";
}

Finding unreadable(const std::string& path, const std::string& who) {
  const std::string directory = closed_directory(path);
  const std::string command =
      directory.empty() ? as_root("chmod a+r " + shell_word(path)) : as_root("chmod a+rx " + shell_word(directory));
  return {finding::kPolicyUnreadable, object_of(path),
          who + " may not read it, and it is read as whoever asks: nothing is allowed to " + who, command, ""};
}

// Whose it is and who can write to it: nothing if that is in order.
std::optional<Finding> unsafe(const std::string& path, const struct stat& status) {
  const std::string word = shell_word(path);
  if (status.st_uid != 0) {
    return Finding{finding::kPolicyOwner, object_of(path), "it isn't root's, so it is not believed: nothing is allowed",
                   as_root("chown root:root " + word), ""};
  }
  if (status.st_mode & (S_IWGRP | S_IWOTH)) {
    return Finding{finding::kPolicyWritable, object_of(path),
                   "others than root can write to it, so it is not believed: nothing is allowed",
                   as_root("chmod go-w " + word), ""};
  }
  return std::nullopt;
}

Finding missing(const PolicyView& policy) {
  const std::string who = policy.uid == 0 ? "group=kvm" : "user=" + policy.who();
  return {finding::kPolicyMissing, object_of(kPolicyPath), "there is none, so nothing is allowed",
          append_command("allow bridge=br0 " + who, kPolicyPath), "or another rule, see tapferry-policy(5)"};
}

Finding unread(const PolicyView& policy) {
  const Culprit culprit = culprit_of(*policy.error);
  struct stat status = {};
  const int code = stat(culprit.path.c_str(), &status) == 0 ? 0 : errno;
  const bool is_main = culprit.path == culprit.file && culprit.line == 0;
  if (code == ENOENT && is_main && lstat(culprit.path.c_str(), &status) != 0) return missing(policy);
  if (code == EACCES) return unreadable(culprit.path, policy.who());
  if (code == 0) {
    if (auto found = unsafe(culprit.path, status)) return std::move(*found);
    if (access(culprit.path.c_str(), R_OK) != 0 && errno == EACCES) return unreadable(culprit.path, policy.who());
  }
  const bool is_include = culprit.path != culprit.file;
  const std::string where = culprit.line > 0 ? culprit.file + ":" + std::to_string(culprit.line) : culprit.file;
  const std::string problem =
      is_include ? "it includes " + culprit.path + ", which can't be read: " + culprit.reason : culprit.reason;
  return {is_include ? finding::kPolicyInclude : finding::kPolicyMalformed, object_of(where),
          problem + "; until it is right, nothing is allowed", edit_command(culprit.file, culprit.line), culprit.hint};
}

// ---- One that can ---------------------------------------------------------------------------------

// A bridge that there is, for a rule that can be used at once.
std::string some_bridge(Rtnl& rtnl) {
  std::string name;
  const Status listed = for_each_link(rtnl, "bridge", [&](const Link& link) {
    if (name.empty() || link.name < name) name = link.name;
  });
  return listed.is_ok() && !name.empty() ? name : "br0";
}

// QEMU's file takes no rules of ours, so that its own helper can go on reading it.
std::string allow_command(const PolicyView& policy, const std::string& rule) {
  if (policy.path == kPolicyPath) return append_command(rule, kPolicyPath);
  return append_command("include " + policy.path, kPolicyPath) + " && " + append_command(rule, kPolicyPath);
}

void look_for_denial(const PolicyView& policy, Diagnosis* diagnosis) {
  for (const ListedRule& rule : policy.rules) {
    if (rule.is_allow || !rule.kind.empty() || !rule.applies) continue;
    diagnosis->findings.push_back({finding::kPolicyDenied, object_of(rule.label),
                                   "it denies everything to " + policy.who() + ": " + rule.text,
                                   edit_command(rule.file, static_cast<long>(rule.line)), "if that isn't meant so"});
    return;
  }
}

void look_for_allowance(const Patient& patient, Diagnosis* diagnosis) {
  const PolicyView& policy = *patient.policy;
  const ListedRule* after_login = nullptr;
  for (const ListedRule& rule : policy.rules) {
    if (is_relevant(patient, rule)) return;
    if (rule.is_allow && !rule.new_login.empty()) after_login = &rule;
  }
  if (after_login != nullptr) {
    diagnosis->findings.push_back({finding::kPolicyNewLogin, object_of(after_login->label),
                                   policy.who() + " is in the group " + after_login->new_login +
                                       ", but this process isn't, which was started before that: " + after_login->text,
                                   "newgrp " + shell_word(after_login->new_login),
                                   "for a shell that is; a new login does it for good"});
    return;
  }
  const std::string bridge = "allow bridge=" + some_bridge(patient.rtnl);
  const std::string who = patient.is_administrator ? "group=kvm" : "user=" + policy.who();
  diagnosis->findings.push_back({finding::kPolicyNoRule, object_of(policy.path),
                                 patient.is_administrator ? "it has no rule that allows anything to anybody"
                                                          : "it has no rule that allows anything to " + policy.who(),
                                 allow_command(policy, bridge + " " + who), "or another rule, see tapferry-policy(5)"});
}

// QEMU's trick keeps an include to those who may read it. For a deny it is the wrong way round.
void look_for_hidden_denies(const PolicyView& policy, Diagnosis* diagnosis) {
  std::set<std::string> seen;
  for (const ListedRule& rule : policy.rules) {
    struct stat status = {};
    if (rule.is_allow || !seen.insert(rule.file).second || stat(rule.file.c_str(), &status) != 0) continue;
    if (status.st_mode & S_IROTH) continue;
    diagnosis->findings.push_back({finding::kPolicyDenyHidden, object_of(rule.label),
                                   "whoever may not read " + rule.file + " isn't denied anything by it: " + rule.text,
                                   as_root("chmod a+r " + shell_word(rule.file)),
                                   "or move its denies to a file that all can read"});
  }
}

}  // namespace

bool is_relevant(const Patient& patient, const ListedRule& rule) {
  return rule.is_allow && (rule.applies || patient.is_administrator);
}

Status check_policy(const Patient& patient, Diagnosis* diagnosis) {
  if (patient.policy == nullptr) {
    diagnosis->notes.emplace_back("the policy was not looked at, since the helper reads it, and can't here");
    return {};
  }
  const PolicyView& policy = *patient.policy;
  if (policy.error) {
    diagnosis->findings.push_back(unread(policy));
    return {};
  }
  if (!patient.is_administrator) look_for_denial(policy, diagnosis);
  look_for_allowance(patient, diagnosis);
  look_for_hidden_denies(policy, diagnosis);
  for (const std::string& path : policy.skipped) {
    diagnosis->findings.push_back(
        {finding::kPolicyIncludeSkipped, object_of(path),
         policy.who() + " may not read it, so nothing that it allows or denies counts for " + policy.who(), "",
         "the administrator knows whether that is meant so"});
  }
  if (policy.path != kPolicyPath) {
    diagnosis->findings.push_back({finding::kPolicyQemuFallback, object_of(policy.path),
                                   std::string("QEMU's own policy is read, since there is no ") + kPolicyPath,
                                   append_command("include " + policy.path, kPolicyPath),
                                   "to go on with it there, and add rules of tapferry's"});
  }
  return {};
}

}  // namespace tapferry
