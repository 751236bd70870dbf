// SPDX-License-Identifier: MIT
#include "broker/varlink.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "a call", reason); }

// Deeper than any call of ours.
constexpr int kMaxDepth = 16;

// A member that is true, false, or not there.
Result<bool> flag(const Json& object, const char* name) {
  const Json* member = find_member(&object, name);
  if (member == nullptr || member->is_null()) return false;
  if (!member->is_boolean()) return flaw(std::string(name) + " is not true or false");
  return member->get<bool>();
}

std::string to_message(const Json& root) { return to_text(root) + '\0'; }

}  // namespace

std::string Call::interface() const { return method.substr(0, method.rfind('.')); }

std::string Call::member() const {
  const size_t dot = method.rfind('.');
  return dot == std::string::npos ? method : method.substr(dot + 1);
}

Status MessageReader::add(std::string_view bytes) {
  buffer_ += bytes;
  // Whole messages are taken out one by one, so only the first is looked at.
  const size_t end = buffer_.find('\0');
  const size_t length = end == std::string::npos ? buffer_.size() : end;
  if (length > kMaxCallBytes) return Error::from_errno("read", "a call", EMSGSIZE);
  return {};
}

std::optional<std::string> MessageReader::take() {
  const size_t end = buffer_.find('\0');
  if (end == std::string::npos) return std::nullopt;
  std::string message = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return message;
}

Result<Call> parse_call(std::string_view text) {
  if (text.size() > kMaxCallBytes) return flaw("too long");
  const Result<Json> object = parse_json_object(text, kMaxDepth);
  if (!object.is_ok()) return flaw(object.error().reason());
  const Json& root = object.value();
  const std::string* method = find_text(&root, "method");
  if (method == nullptr) return flaw("it names no method");
  Call call;
  call.method = *method;
  call.is_oneway = TRY(flag(root, "oneway"));
  call.has_upgrade = TRY(flag(root, "upgrade"));
  TRY(flag(root, "more"));
  const Json* parameters = find_member(&root, "parameters");
  if (parameters == nullptr || parameters->is_null()) return call;
  if (!parameters->is_object()) return flaw("parameters is not an object");
  for (const auto& [name, value] : parameters->items()) {
    const auto* string = value.get_ptr<const std::string*>();
    call.parameters.emplace(name, string == nullptr ? std::nullopt : std::optional(*string));
  }
  return call;
}

Result<std::string> string_parameter(const Call& call, const std::string& name) {
  const auto found = call.parameters.find(name);
  if (found == call.parameters.end() || !found->second) return Error("read", name, "not a string");
  return *found->second;
}

Status check_parameters(const Call& call, const char* known) {
  for (const auto& [name, value] : call.parameters) {
    if (known == nullptr || name != known) return Error("read", name, "no parameter of this method");
  }
  return {};
}

std::string reply_message(const Json& parameters) { return to_message({{"parameters", parameters}}); }

std::string error_message(const std::string& error, const std::string& parameter, const std::string& value) {
  Json parameters = Json::object();
  if (!parameter.empty()) parameters[parameter] = value;
  return to_message({{"error", error}, {"parameters", parameters}});
}

}  // namespace tapferry
