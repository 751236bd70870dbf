// SPDX-License-Identifier: MIT
#include "net/json_object.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "JSON", reason); }

// What the library takes and we don't, found while it parses.
class Strictness {
 public:
  explicit Strictness(int max_depth) : max_depth_(max_depth) {}

  // As nlohmann::json::parser_callback_t: `depth` is that of what the event is about.
  void see(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    const bool is_start = event == Event::object_start || event == Event::array_start;
    if (is_start && depth >= max_depth_) flaw_ = "nested too deep";
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(parsed.get_ref<const std::string&>()).second) {
      flaw_ = "it has a key twice";
    }
    if (parsed.is_string() && parsed.get_ref<const std::string&>().find('\0') != std::string::npos) {
      flaw_ = "a string has a zero in it";
    }
  }

  const char* flaw() const { return flaw_; }

 private:
  int max_depth_;
  const char* flaw_ = nullptr;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Result<Json> parse_json_object(std::string_view text, int max_depth) {
  if (!text.starts_with('{')) return flaw("not a JSON object");
  Strictness strictness(max_depth);
  const auto see = [&](int depth, Json::parse_event_t event, Json& parsed) {
    strictness.see(depth, event, parsed);
    return true;
  };
  Json object = Json::parse(text, see, /* allow_exceptions= */ false);
  if (object.is_discarded()) return flaw("not JSON");
  if (strictness.flaw() != nullptr) return flaw(strictness.flaw());
  return object;
}

const Json* find_member(const Json* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto found = object->find(name);
  return found == object->end() ? nullptr : &*found;
}

const Json* find_object(const Json* object, const char* name) {
  const Json* member = find_member(object, name);
  return member != nullptr && member->is_object() ? member : nullptr;
}

const std::string* find_text(const Json* object, const char* name) {
  const Json* member = find_member(object, name);
  return member == nullptr ? nullptr : member->get_ptr<const std::string*>();
}

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace tapferry
