// SPDX-License-Identifier: MIT
//
// The policy's rules, and the decision: rules, who, request -> verdict. Pure: nothing here opens, reads or writes.
// The text of rules is policy_parse.h's, the files are policy_load.h's; tapferry-policy(5) is the specification.
//
// Two principles hold everywhere: nothing is allowed that no rule allows, and a deny that may apply does apply.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "helper/accounts.h"
#include "net/spec.h"

namespace tapferry {

inline constexpr unsigned kDefaultMax = 16;  // interfaces per user and rule
inline constexpr unsigned kLargestMax = 65535;

// A whole text, or the beginning of one.
struct Pattern {
  std::string text;
  bool is_prefix = false;

  bool matches(std::string_view candidate) const;
  bool is_anything() const { return is_prefix && text.empty(); }
  auto operator<=>(const Pattern&) const = default;
};

// "br0" or "br*".
std::string to_string(const Pattern& pattern);

enum class Verb { kAllow, kDeny };

struct Rule {
  Verb verb = Verb::kAllow;
  std::optional<Kind> kind;  // unset: every kind (`deny *`)
  Pattern object;

  // Who. Names or decimal ids as written; empty: anybody. A list is sorted and has no duplicates.
  std::vector<std::string> users;
  std::vector<std::string> groups;

  // What may be asked; an allow's only. Unset or empty: the default only.
  std::optional<unsigned> max;  // unset: no quota (QEMU's form)
  unsigned queues = 1;
  std::vector<MacvtapMode> modes;  // empty: bridge
  std::vector<Pattern> guest_macs;
  std::vector<Pattern> names;
  std::vector<Pattern> macs;
  std::vector<Pattern> iface_ids;
  std::optional<unsigned> mtu;
  bool vhost = false;
  bool persist = false;

  // What is forced.
  bool lock = false;
  bool isolated = false;
  bool up_off = false;
  std::optional<uint64_t> rate_to;
  std::optional<uint64_t> rate_from;
  std::optional<ProtocolFilter> filter;

  // Where it stands.
  std::string file;
  unsigned line = 0;
  std::string label;  // "policy.conf:12", for the grant record
  std::string text;   // the line as written, without its comment
};

struct Policy {
  std::string path;                  // the file that was read, with what it includes
  std::vector<Rule> rules;           // in reading order, includes in place
  std::vector<std::string> skipped;  // includes that the caller may not read
};

// The rule in a fixed order of keys and values: it parses to the same rule.
std::string normalised_text(const Rule& rule);

// RULE of a quota slot's altname: 16 hexadecimal digits of the normalised text. It leaves max= out, so that interfaces
// handed out under the old number still count when the administrator changes it.
std::string rule_hash(const Rule& rule);

struct RequestForm {
  bool is_br_form = false;  // QEMU's --br: nobody stays behind to watch the interface
  // Of device=: every other way to name the device that is meant. A rule that names it so is about it too.
  std::vector<std::string> device_names = {};
};

enum class Outcome { kDecides, kDenies, kNoMatch, kNoFit, kNotReached };

// What became of one rule.
struct Trace {
  Outcome outcome = Outcome::kNoMatch;
  std::string why;  // a sentence
};

struct Verdict {
  bool is_allowed = false;
  std::string reason;                 // a sentence
  std::optional<size_t> rule;         // index into Policy::rules of the rule that allowed or denied
  std::string rule_label;             // its label, or empty
  Spec asked;                         // the request as it was decided
  Spec effective;                     // allowed: the request with forced values filled in and `up` said
  std::optional<unsigned> quota_max;  // allowed: interfaces of this user under this rule; unset: no quota
  std::string rule_hash;              // allowed: the RULE of the quota's altnames
  bool stays_down = false;            // allowed: the rule forces up=off
  std::vector<Trace> traces;          // one for each rule of the policy
};

// The first allow that fits in full decides, unless any deny matches. Quotas are counted elsewhere.
Verdict decide(const Policy& policy, const Accounts& accounts, const Caller& caller, const Spec& request,
               const RequestForm& form);

}  // namespace tapferry
