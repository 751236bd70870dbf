// SPDX-License-Identifier: MIT
#include "net/tag.h"

#include "base/parse.h"
#include "base/text.h"

namespace tapferry {
namespace {

constexpr size_t kMaxAlias = 255;

}  // namespace

std::string to_string(const Tag& tag) {
  std::string text = "tapferry uid=" + std::to_string(tag.uid) + " kind=" + std::string(kind_name(tag.kind));
  if (!tag.upper.empty()) text += " upper=" + tag.upper;
  text += " since=" + std::to_string(tag.since);
  if (tag.persist) text += " persist=on";
  if (tag.stays_down) text += " up=off";
  if (tag.queues != 1) text += " queues=" + std::to_string(tag.queues);
  if (tag.locked_mac) text += " lock=" + to_string(*tag.locked_mac);
  if (tag.follows_addresses) text += " filter=auto";
  text += " rule=";
  const std::string rule = escape(tag.rule);
  const size_t room = kMaxAlias - text.size();
  return text + (rule.size() > room ? rule.substr(rule.size() - room) : rule);
}

std::optional<Tag> parse_tag(std::string_view alias) {
  if (!consume_prefix(&alias, "tapferry uid=")) return std::nullopt;
  const auto uid = parse_uint(alias.substr(0, alias.find(' ')), 0, UINT32_MAX);
  if (!uid) return std::nullopt;
  Tag tag;
  tag.uid = static_cast<uint32_t>(*uid);
  const size_t rule = alias.find(" rule=");
  // A file's name may hold blanks, so the rule is whatever follows.
  if (rule != std::string_view::npos) tag.rule = alias.substr(rule + 6);
  for (std::string_view word : split_words(alias.substr(0, rule))) {
    if (consume_prefix(&word, "kind=")) {
      const auto kind = parse_kind(word);
      if (!kind) return std::nullopt;
      tag.kind = *kind;
    } else if (consume_prefix(&word, "upper=")) {
      tag.upper = word;
    } else if (consume_prefix(&word, "since=")) {
      tag.since = static_cast<int64_t>(parse_uint(word, 0, INT64_MAX).value_or(0));
    } else if (word == "persist=on") {
      tag.persist = true;
    } else if (consume_prefix(&word, "queues=")) {
      tag.queues = static_cast<unsigned>(parse_uint(word, 1, kMaxQueues).value_or(1));
    } else if (consume_prefix(&word, "lock=")) {
      tag.locked_mac = parse_mac(word);
    } else if (word == "up=off") {
      tag.stays_down = true;
    } else if (word == "filter=auto") {
      tag.follows_addresses = true;
    }
  }
  return tag;
}

}  // namespace tapferry
