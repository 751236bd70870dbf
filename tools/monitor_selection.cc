// SPDX-License-Identifier: MIT
#include "tools/monitor_selection.h"

#include <algorithm>

#include "base/parse.h"

namespace tapferry {
namespace {

struct Condition {
  const char* word;
  bool (*holds)(const LinkChange&);
};

bool exists(const LinkChange& change) { return change.kind != LinkChange::Kind::kRemoved; }

constexpr Condition kConditions[] = {
    {"removed", [](const LinkChange& change) { return !exists(change); }},
    {"up", [](const LinkChange& change) { return exists(change) && change.state.link.is_up(); }},
    {"down", [](const LinkChange& change) { return exists(change) && !change.state.link.is_up(); }},
    {"carrier", [](const LinkChange& change) { return exists(change) && change.state.has_link(); }},
    {"no-carrier", [](const LinkChange& change) { return exists(change) && !change.state.has_link(); }},
};

std::string all_words() {
  std::string words;
  for (const Condition& condition : kConditions) words += (words.empty() ? "" : ", ") + std::string(condition.word);
  return words;
}

}  // namespace

Selection::Selection(std::vector<std::string> names, bool waits) : waits_(waits) {
  for (std::string& name : names) {
    const bool is_known = std::any_of(followed_.begin(), followed_.end(),
                                      [&](const Followed& followed) { return followed.name == name; });
    if (!is_known) followed_.push_back({std::move(name)});
  }
}

std::optional<size_t> Selection::waiting_for(const std::string& name) const {
  for (size_t i = 0; i < followed_.size(); ++i) {
    if (followed_[i].ifindex == 0 && !followed_[i].is_gone && followed_[i].name == name) return i;
  }
  return std::nullopt;
}

std::optional<LinkChange> Selection::select(const LinkChange& change) {
  if (followed_.empty() || change.kind == LinkChange::Kind::kResynchronised) return change;
  const int ifindex = change.state.link.index;
  for (Followed& followed : followed_) {
    if (followed.ifindex != ifindex) continue;
    if (change.kind == LinkChange::Kind::kRemoved) {
      followed.ifindex = 0;
      followed.is_gone = !waits_;
    }
    return change;
  }
  const auto found = change.kind == LinkChange::Kind::kRemoved ? std::nullopt : waiting_for(change.state.link.name);
  if (!found) return std::nullopt;
  followed_[*found].ifindex = ifindex;
  LinkChange told = change;
  if (change.kind == LinkChange::Kind::kChanged) told.kind = LinkChange::Kind::kAdded;
  return told;
}

bool Selection::wants(const Link& link) const {
  if (followed_.empty() || waiting_for(link.name)) return true;
  return std::any_of(followed_.begin(), followed_.end(),
                     [&](const Followed& followed) { return followed.ifindex == link.index; });
}

const std::string* Selection::missing() const {
  for (const Followed& followed : followed_) {
    if (followed.ifindex == 0 && !followed.is_gone) return &followed.name;
  }
  return nullptr;
}

bool Selection::is_over() const {
  return !followed_.empty() &&
         std::all_of(followed_.begin(), followed_.end(), [](const Followed& followed) { return followed.is_gone; });
}

Result<ExitConditions> ExitConditions::parse(std::string_view list) {
  ExitConditions conditions;
  for (const std::string_view word : split(list, ',')) {
    const auto* found = std::find_if(std::begin(kConditions), std::end(kConditions),
                                     [&](const Condition& condition) { return condition.word == word; });
    if (found == std::end(kConditions)) {
      return Error("read", "--exit-on=" + std::string(list), "`" + std::string(word) + "' is no state of an interface")
          .with_hint("there are " + all_words());
    }
    conditions.bits_ |= 1U << (found - kConditions);
  }
  return conditions;
}

bool ExitConditions::is_met_by(const LinkChange& change) const {
  if (change.kind == LinkChange::Kind::kResynchronised) return false;
  for (size_t i = 0; i < std::size(kConditions); ++i) {
    if ((bits_ & (1U << i)) != 0 && kConditions[i].holds(change)) return true;
  }
  return false;
}

}  // namespace tapferry
