// SPDX-License-Identifier: MIT
//
// A line is words; the first says what it is, the second names the object, the rest are KEY=VALUE out of one table.
// Functions here return an Error with a reason only; parse_policy() adds file and line.
#include "helper/policy_parse.h"

#include <algorithm>
#include <iterator>

#include "base/parse.h"
#include "net/ovs.h"

namespace tapferry {
namespace {

constexpr size_t kMaxInterfaceName = 15;  // IFNAMSIZ - 1 (linux/if.h)

Error malformed(std::string_view what) { return Error("", "", "Invalid config line: " + std::string(what)); }

std::string quoted(std::string_view text) { return "`" + std::string(text) + "'"; }

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// ---- Values ---------------------------------------------------------------------------------------

Result<Pattern> parse_pattern(std::string_view text) {
  Pattern pattern;
  pattern.is_prefix = text.ends_with('*');
  if (pattern.is_prefix) text.remove_suffix(1);
  // Somebody who writes br? or br[01] means a pattern; taken literally, a deny would be void without a word.
  if (text.find_first_of("*?[") != std::string_view::npos) {
    return malformed("in " + quoted(text) + " the only pattern can be one * at the end");
  }
  pattern.text = text;
  return pattern;
}

Result<Pattern> parse_interface_pattern(std::string_view text) {
  Pattern pattern = TRY(parse_pattern(text));
  if (pattern.is_anything()) return pattern;
  if (pattern.text.size() > kMaxInterfaceName) {
    return Error("", "", "name " + quoted(pattern.text) + " too long: " + std::to_string(pattern.text.size()))
        .with_hint("an interface's name has at most 15 bytes");
  }
  if (!is_interface_name(pattern.text) || pattern.text.find_first_of(",=") != std::string::npos) {
    return malformed(quoted(text) + " can't be an interface's name; a rule names one");
  }
  return pattern;
}

// "ovs:br-int", "ovs:br-*" or "ovs:*".
Result<Pattern> parse_bridge_pattern(std::string_view text) {
  if (!text.starts_with(kOvsPrefix)) return parse_interface_pattern(text);
  Pattern pattern = TRY(parse_pattern(text));
  const std::string_view bridge = *ovs_bridge(pattern.text);
  const bool is_every = pattern.is_prefix && bridge.empty();
  if (is_every || is_ovs_interface_name(bridge)) return pattern;
  return malformed(quoted(text) + " can't be a bridge of Open vSwitch: 1 to 15 letters, digits and . _ -");
}

Result<Pattern> parse_iface_id_pattern(std::string_view text) {
  Pattern pattern = TRY(parse_pattern(text));
  if (pattern.is_anything() || is_ovs_word(pattern.text, kMaxIfaceId)) return pattern;
  return malformed(quoted(text) + " can't be an iface-id: 1 to 128 letters, digits and . _ : -");
}

Result<Pattern> parse_device_pattern(std::string_view text) {
  if (!text.starts_with('/')) return parse_interface_pattern(text);
  if (text.find_first_of(",=") != std::string_view::npos) return malformed("device= takes one path without , and =");
  return parse_pattern(text);
}

// A whole address, or its beginning and a *.
Result<Pattern> parse_mac_pattern(std::string_view text) {
  Pattern pattern = TRY(parse_pattern(text));
  for (char& c : pattern.text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  // What is missing is filled up, so that one parser sees both.
  static constexpr std::string_view kFiller = "02:00:00:00:00:00";
  std::string whole = pattern.text;
  if (pattern.is_prefix && whole.size() < kFiller.size()) whole += kFiller.substr(whole.size());
  const auto mac = parse_mac(whole);
  if (!mac) return malformed(quoted(text) + " is no MAC address and no beginning of one with a *");
  if (!pattern.is_prefix && !mac->is_unicast()) return malformed(quoted(text) + " is no unicast MAC address");
  return pattern;
}

// A user or group: a name, or an id in digits.
Result<std::string> parse_account(std::string_view text) {
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    if (!parse_uint(text, 0, UINT32_MAX - 1)) return malformed(quoted(text) + " is no name and no user or group id");
    return std::string(text);
  }
  if (text.find_first_of("*?[:=") != std::string_view::npos) {
    return malformed("user= and group= take whole names, and " + quoted(text) + " can't be one");
  }
  if (std::string_view("@%+-!").find(text[0]) != std::string_view::npos) {
    return malformed(quoted(text) + " can't be a name; a group is written group=NAME");
  }
  return std::string(text);
}

Result<MacvtapMode> parse_mode_word(std::string_view text) {
  const auto mode = parse_mode(text);
  if (!mode) return malformed("mode= takes bridge, vepa, private, passthru and source, with commas");
  return *mode;
}

// ---- Keys -----------------------------------------------------------------------------------------

template <typename T>
Status set_list(std::vector<T>& field, std::string_view value, Result<T> (*parse)(std::string_view)) {
  for (const std::string_view part : split(value, ',')) {
    if (part.empty()) return malformed("a list has an empty value");
    field.push_back(TRY(parse(part)));
  }
  sort_unique(field);
  return {};
}

template <typename T>
Status set_number(T& field, std::string_view value, std::string_view key, uint64_t low, uint64_t high) {
  const auto number = parse_uint(value, low, high);
  if (number) {
    field = static_cast<unsigned>(*number);
    return {};
  }
  return malformed(std::string(key) + "= takes a number from " + std::to_string(low) + " to " + std::to_string(high));
}

Status set_on_off(bool& field, std::string_view value, std::string_view key) {
  const auto on = parse_on_off(value);
  if (!on) return malformed(std::string(key) + "= takes on or off");
  field = *on;
  return {};
}

// A request can say auto, which this permits as well.
Status set_vhost(Rule& rule, std::string_view value) {
  Status status = set_on_off(rule.vhost, value, "vhost");
  if (status.is_ok() || value != "auto") return status;
  return malformed("vhost= takes on or off").with_hint("write vhost=on, which permits vhost=auto too");
}

Status set_rate(std::optional<uint64_t>& field, std::string_view value, std::string_view key) {
  field = parse_rate(value);
  if (!field) return malformed(std::string(key) + "= takes " + std::string(kRateExpected));
  return {};
}

Status set_up(Rule& rule, std::string_view value) {
  bool up = true;
  TRY(set_on_off(up, value, "up"));
  rule.up_off = !up;
  return {};
}

Status set_filter(Rule& rule, std::string_view value) {
  rule.filter = parse_filter(value);
  if (!rule.filter) return malformed("filter= takes auto, or ipv4, ipv6, arp, rarp, vlan and 0xHHHH with commas");
  return {};
}

constexpr unsigned bit(Kind kind) { return 1u << static_cast<unsigned>(kind); }
// Of bridge=ovs:, which has fewer keys than a Linux bridge and one of its own.
constexpr unsigned kOvs = 1u << 8;
constexpr unsigned kNotOvs = bit(Kind::kBridge) | bit(Kind::kTap) | bit(Kind::kMacvtap) | bit(Kind::kDevice);
constexpr unsigned kEvery = kNotOvs | kOvs;
constexpr unsigned kSecured = kNotOvs & ~bit(Kind::kTap);
constexpr unsigned kCreated = kEvery & ~bit(Kind::kDevice);

struct RuleKey {
  std::string_view name;
  unsigned kinds;  // bits of the kinds that it fits
  bool is_for_deny;
  Status (*set)(Rule&, std::string_view value);
};

using View = std::string_view;

constexpr RuleKey kRuleKeys[] = {
    {"user", kEvery, true, [](Rule& r, View v) { return set_list(r.users, v, parse_account); }},
    {"group", kEvery, true, [](Rule& r, View v) { return set_list(r.groups, v, parse_account); }},
    {"max", kCreated, false, [](Rule& r, View v) { return set_number(r.max, v, "max", 1, kLargestMax); }},
    {"queues", kEvery, false, [](Rule& r, View v) { return set_number(r.queues, v, "queues", 1, kMaxQueues); }},
    {"mode", bit(Kind::kMacvtap), false, [](Rule& r, View v) { return set_list(r.modes, v, parse_mode_word); }},
    {"guest_mac", kSecured, false, [](Rule& r, View v) { return set_list(r.guest_macs, v, parse_mac_pattern); }},
    {"name", kCreated, false, [](Rule& r, View v) { return set_list(r.names, v, parse_interface_pattern); }},
    {"mac", kEvery, false, [](Rule& r, View v) { return set_list(r.macs, v, parse_mac_pattern); }},
    {"iface_id", kOvs, false, [](Rule& r, View v) { return set_list(r.iface_ids, v, parse_iface_id_pattern); }},
    {"mtu", kEvery, false, [](Rule& r, View v) { return set_number(r.mtu, v, "mtu", kMinMtu, kMaxMtu); }},
    {"vhost", kEvery, false, set_vhost},
    {"persist", kCreated, false, [](Rule& r, View v) { return set_on_off(r.persist, v, "persist"); }},
    {"lock", kSecured, false, [](Rule& r, View v) { return set_on_off(r.lock, v, "lock"); }},
    {"isolated", bit(Kind::kBridge), false, [](Rule& r, View v) { return set_on_off(r.isolated, v, "isolated"); }},
    {"up", kEvery, false, set_up},
    {"rate_to", kNotOvs, false, [](Rule& r, View v) { return set_rate(r.rate_to, v, "rate_to"); }},
    {"rate_from", kNotOvs, false, [](Rule& r, View v) { return set_rate(r.rate_from, v, "rate_from"); }},
    {"filter", kNotOvs, false, set_filter},
};

const RuleKey* find_key(std::string_view name) {
  const auto key =
      std::find_if(std::begin(kRuleKeys), std::end(kRuleKeys), [&](const RuleKey& k) { return k.name == name; });
  return key == std::end(kRuleKeys) ? nullptr : key;
}

Status set_key(Rule& rule, std::string_view word, unsigned* seen) {
  const size_t equals = word.find('=');
  const std::string name(word.substr(0, equals));
  const RuleKey* key = find_key(name);
  if (!key) return malformed(quoted(name) + " is no key of a rule").with_hint("the keys are in tapferry-policy(5)");
  if (equals == std::string_view::npos) return malformed(name + " needs a value: " + name + "=VALUE");
  if (rule.verb == Verb::kDeny && !key->is_for_deny) return malformed("a deny takes only user= and group=");
  const bool is_ovs = ovs_bridge(rule.object.text).has_value();
  if (rule.kind && !(key->kinds & (is_ovs ? kOvs : bit(*rule.kind)))) {
    return malformed(name + "= is not for " + std::string(kind_name(*rule.kind)) + (is_ovs ? "=ovs:" : "="));
  }
  const unsigned mask = 1u << (key - kRuleKeys);
  if (*seen & mask) return malformed(name + "= is there twice; several values go with commas");
  *seen |= mask;
  if (equals + 1 == word.size()) return malformed(name + "= needs a value");
  return key->set(rule, word.substr(equals + 1));
}

// ---- Lines ----------------------------------------------------------------------------------------

// KIND=PATTERN.
Status set_object(Rule& rule, std::string_view word) {
  const size_t equals = word.find('=');
  rule.kind = parse_kind(word.substr(0, equals));
  if (!rule.kind) {
    return malformed(quoted(word) + " names no object").with_hint("an object is bridge=, tap=, macvtap= or device=");
  }
  const std::string_view name = word.substr(equals + 1);
  if (name.empty()) return malformed(quoted(word) + " needs a name, or * for every name");
  switch (*rule.kind) {
    case Kind::kDevice: rule.object = TRY(parse_device_pattern(name)); break;
    case Kind::kBridge: rule.object = TRY(parse_bridge_pattern(name)); break;
    default: rule.object = TRY(parse_interface_pattern(name)); break;
  }
  return {};
}

// QEMU's form: the literal name of a bridge, or `all`; and our `deny *`.
Status set_bare_object(Rule& rule, std::string_view word) {
  if (word == "*" && rule.verb == Verb::kDeny) {
    rule.object.is_prefix = true;
    return {};
  }
  if (word == "*") return malformed("`*' is only for deny").with_hint("write bridge=*, tap=*, macvtap=* or device=*");
  if (word.find('*') != std::string_view::npos) {
    return malformed(quoted(word) + " is a bare name, which has no pattern")
        .with_hint("write bridge=" + std::string(word));
  }
  if (word.starts_with(kOvsPrefix)) {
    return malformed(quoted(word) + " is a bare name, which is a Linux bridge's")
        .with_hint("write bridge=" + std::string(word));
  }
  // `deny tap' is too easily meant for every tap.
  if (parse_kind(word)) {
    return malformed("a bare name is a bridge's")
        .with_hint("write " + std::string(word) + "=*, or bridge=" + std::string(word) + " for a bridge of that name");
  }
  rule.kind = Kind::kBridge;
  if (word == "all") {
    rule.object.is_prefix = true;
    return {};
  }
  rule.object = TRY(parse_interface_pattern(word));
  return {};
}

Result<Rule> parse_rule(const std::vector<std::string_view>& words) {
  Rule rule;
  rule.verb = words[0] == "allow" ? Verb::kAllow : Verb::kDeny;
  if (words.size() < 2) return malformed(std::string(words[0]) + " needs an object such as bridge=br0");
  const bool is_bare = words[1].find('=') == std::string_view::npos;
  TRY(is_bare ? set_bare_object(rule, words[1]) : set_object(rule, words[1]));
  unsigned seen = 0;
  for (size_t i = 2; i < words.size(); ++i) TRY(set_key(rule, words[i], &seen));
  // As in QEMU, `allow br0` by itself counts nobody's interfaces.
  const bool has_quota = rule.verb == Verb::kAllow && !(is_bare && words.size() == 2);
  if (has_quota && !rule.max) rule.max = kDefaultMax;
  for (const std::string_view word : words) rule.text += (rule.text.empty() ? "" : " ") + std::string(word);
  return rule;
}

Result<Include> parse_include(const std::vector<std::string_view>& words) {
  if (words.size() != 2) return malformed("include takes one path");
  Include include;
  include.path = words[1];
  if (!include.path.starts_with('/')) return malformed("include takes an absolute path");
  if (include.path.find_first_of("[\\") != std::string::npos) {
    return malformed("the only patterns in an include are * and ?");
  }
  const size_t slash = include.path.rfind('/');
  if (slash + 1 == include.path.size())
    return malformed("include takes a file, not a directory").with_hint("write DIRECTORY/*.conf");
  const size_t pattern = include.path.find_first_of("*?");
  include.is_glob = pattern != std::string::npos;
  if (include.is_glob && pattern < slash) return malformed("an include has * and ? in its last component only");
  return include;
}

Status check_bytes(std::string_view line) {
  if (line.size() > kMaxPolicyLine) {
    return malformed("longer than " + std::to_string(kMaxPolicyLine) + " bytes");
  }
  if (line.ends_with('\r')) return malformed("it ends in a carriage return").with_hint("lines end in a newline only");
  const bool has_control = std::any_of(line.begin(), line.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
  if (has_control) return malformed("it has a control character");
  return {};
}

// Nothing for a line without a statement.
Result<std::optional<Statement>> parse_line(std::string_view line) {
  using Nothing = std::optional<Statement>;
  TRY(check_bytes(line));
  std::vector<std::string_view> words = split_words(line);
  const auto comment =
      std::find_if(words.begin(), words.end(), [](std::string_view word) { return word.starts_with('#'); });
  words.erase(comment, words.end());
  if (words.empty()) return Nothing();
  if (words[0] == "allow" || words[0] == "deny") return Nothing(TRY(parse_rule(words)));
  if (words[0] == "include") return Nothing(TRY(parse_include(words)));
  return Error("", "", "Unknown command " + quoted(words[0])).with_hint("a line begins with allow, deny or include");
}

}  // namespace

Result<std::vector<Statement>> parse_policy(std::string_view text, const std::string& file, const std::string& label) {
  std::vector<Statement> statements;
  unsigned number = 0;
  for (const std::string_view line : split(text, '\n')) {
    const std::string at = ":" + std::to_string(++number);
    Result<std::optional<Statement>> parsed = parse_line(line);
    if (!parsed.is_ok()) return Error("read", file + at, parsed.error().reason()).with_hint(parsed.error().hint());
    std::optional<Statement> statement = std::move(parsed).value();
    if (!statement) continue;
    if (Rule* rule = std::get_if<Rule>(&*statement)) {
      rule->file = file;
      rule->line = number;
      rule->label = label + at;
    } else if (Include* include = std::get_if<Include>(&*statement)) {
      include->line = number;
    }
    statements.push_back(std::move(*statement));
  }
  return statements;
}

}  // namespace tapferry
