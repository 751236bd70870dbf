// SPDX-License-Identifier: MIT
#include "broker/methods.h"

#include <nlohmann/json.hpp>

#include "broker/description.h"
#include "broker/own_interfaces.h"
#include "config.h"
#include "net/spec.h"

namespace tapferry {
namespace {

constexpr const char* kServiceInterface = "org.varlink.service";
constexpr const char* kBrokerInterface = "org.tapferry.Broker";
// Of what the helper prints.
constexpr int kMostLevels = 16;

Handled at_once(Reply reply) { return {std::move(reply), std::nullopt}; }
Handled at_once(std::string message) { return at_once(Reply{std::move(message), {}}); }

Handled service_error(const char* error, const char* parameter, const std::string& value) {
  return at_once(error_message(std::string(kServiceInterface) + "." + error, parameter, value));
}

Handled invalid_parameter(const Error& error) { return service_error("InvalidParameter", "parameter", error.object()); }

std::string info() {
  return reply_message({{"vendor", "tapferry"},
                        {"product", "tapferryd"},
                        {"version", TAPFERRY_VERSION},
                        {"url", "https://varlink.org/Service"},
                        {"interfaces", {kServiceInterface, kBrokerInterface}}});
}

Handled describe_interface(const Call& call) {
  const Result<std::string> name = string_parameter(call, "interface");
  if (!name.is_ok()) return invalid_parameter(name.error());
  const char* description = name.value() == kServiceInterface  ? kServiceDescription
                            : name.value() == kBrokerInterface ? kBrokerDescription
                                                               : nullptr;
  if (description == nullptr) return service_error("InterfaceNotFound", "interface", name.value());
  return at_once(reply_message({{"description", description}}));
}

Handled handle_service_call(const Call& call) {
  if (call.member() == "GetInfo") {
    const Status known = check_parameters(call, nullptr);
    return known.is_ok() ? at_once(info()) : invalid_parameter(known.error());
  }
  if (call.member() == "GetInterfaceDescription") {
    const Status known = check_parameters(call, "interface");
    return known.is_ok() ? describe_interface(call) : invalid_parameter(known.error());
  }
  return service_error("MethodNotFound", "method", call.method);
}

Handled list(const Call& call, uid_t uid) {
  const Status known = check_parameters(call, nullptr);
  if (!known.is_ok()) return invalid_parameter(known.error());
  const Result<Json> interfaces = own_interfaces(uid);
  if (!interfaces.is_ok()) return at_once(broker_error("Failed", interfaces.error().line()));
  return at_once(reply_message({{"interfaces", interfaces.value()}}));
}

Handled errand(const Call& call, LaunchKind kind, const char* parameter) {
  const Status known = check_parameters(call, parameter);
  if (!known.is_ok()) return invalid_parameter(known.error());
  Result<std::string> text = string_parameter(call, parameter);
  // The helper says what is wrong with it; what is longer than any SPEC doesn't get there.
  if (!text.is_ok() || text.value().size() > kMaxSpecLength) {
    return service_error("InvalidParameter", "parameter", parameter);
  }
  return {std::nullopt, Errand{kind, std::move(text).value()}};
}

// The helper's line.
Result<Json> parse_line(const std::string& text) { return parse_json_object(text, kMostLevels); }

Json count_up(size_t first, size_t count) {
  Json numbers = Json::array();
  for (size_t i = 0; i < count; ++i) numbers.push_back(first + i);
  return numbers;
}

Reply granted(Answer answer) {
  const Result<Json> grant = parse_line(answer.bytes);
  Result<GrantedInterface> interface = take_interface(std::move(answer));
  if (!interface.is_ok()) return broker_error("Failed", interface.error().line());
  if (!grant.is_ok()) return broker_error("Failed", "tapferry-helper sent what is no grant record");
  GrantedInterface& got = interface.value();
  Reply reply = {reply_message({{"grant", grant.value()},
                                {"queue_fds", count_up(0, got.queues.size())},
                                {"vhost_fds", count_up(got.queues.size(), got.vhost.size())}}),
                 std::move(got.queues)};
  for (Fd& fd : got.vhost) reply.fds.push_back(std::move(fd));
  return reply;
}

Reply explained(const std::string& text) {
  const Result<Json> explanation = parse_line(text);
  if (!explanation.is_ok()) return broker_error("Failed", "tapferry-helper's explanation is no JSON object");
  return {reply_message({{"explanation", explanation.value()}}), {}};
}

}  // namespace

Handled handle_call(const Call& call, uid_t uid) {
  if (call.has_upgrade) return service_error("InvalidParameter", "parameter", "upgrade");
  if (call.method.find('.') == std::string::npos) return service_error("InterfaceNotFound", "interface", call.method);
  if (call.interface() == kServiceInterface) return handle_service_call(call);
  if (call.interface() != kBrokerInterface) return service_error("InterfaceNotFound", "interface", call.interface());
  if (call.member() == "Open") return errand(call, LaunchKind::kOpen, "net");
  if (call.member() == "Explain") return errand(call, LaunchKind::kExplain, "net");
  if (call.member() == "Release") return errand(call, LaunchKind::kRelease, "ifname");
  if (call.member() == "Up") return errand(call, LaunchKind::kUp, "ifname");
  if (call.member() == "List") return list(call, uid);
  return service_error("MethodNotFound", "method", call.method);
}

Reply reply_to(LaunchKind kind, Result<LaunchResult> result) {
  if (!result.is_ok()) {
    // Its reason are the helper's words.
    const std::string& words = result.error().reason();
    return broker_error(is_refusal(words) ? "Refused" : "Failed", words);
  }
  switch (kind) {
    case LaunchKind::kOpen: return granted(std::move(result).value().answer);
    case LaunchKind::kExplain: return explained(result.value().text);
    case LaunchKind::kRelease:
    case LaunchKind::kUp: break;
  }
  return {reply_message(Json::object()), {}};
}

Reply broker_error(const char* error, const std::string& words) {
  return {error_message(std::string(kBrokerInterface) + "." + error, "message", words), {}};
}

Reply malformed_call(const Error& error) { return broker_error("Malformed", error.line()); }

}  // namespace tapferry
