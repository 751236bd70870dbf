// SPDX-License-Identifier: MIT
//
// libtapferry: what tapferry.h promises, over the same asking as the `tapferry` command's. This file is where C's world and ours
// meet: handles are objects, errors become codes and texts, and nothing of it is kept between two calls.
#include "lib/tapferry.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "config.h"
#include "net/ask.h"
#include "net/ask_broker.h"
#include "net/grant.h"
#include "net/spec.h"
#include "paths.h"

using tapferry::Answer;
using tapferry::AskOptions;
using tapferry::Error;
using tapferry::Fd;
using tapferry::GrantChange;
using tapferry::GrantedInterface;
using tapferry::Result;
using tapferry::Status;
using tapferry::Via;

struct tapferry_client {
  Via via = Via::kAuto;
  std::string helper;
  std::string broker;
  int timeout_ms = tapferry::kAskTimeoutMs;
};

struct tapferry_grant {
  GrantedInterface interface;
  // What the facts' texts point to.
  std::string json;
  std::string kind;
  std::string mac;
};

struct tapferry_error {
  tapferry_code code;
  std::string message;
};

namespace {

// Not beside this program, where `tapferry` looks too: it isn't ours.
tapferry_client default_client() {
  const char* helper = secure_getenv("TAPFERRY_HELPER");
  tapferry_client client;
  client.helper = helper != nullptr && *helper != '\0' ? helper : TAPFERRY_HELPER_PATH;
  client.broker = tapferry::broker_socket();
  return client;
}

tapferry_client or_default(const tapferry_client* client) { return client != nullptr ? *client : default_client(); }

bool is_by_broker(const tapferry_client& client) {
  return tapferry::is_by_broker(client.via, client.helper, client.broker);
}

// This process isn't ours: it must not notice the helper.
AskOptions helper_options(const tapferry_client& client, AskOptions options) {
  options.timeout_ms = client.timeout_ms;
  options.hides_child = true;
  return options;
}

tapferry_code code_of(const Error& error) {
  if (tapferry::is_refusal(error.reason())) return TAPFERRY_REFUSED;
  switch (error.code()) {
    case ETIMEDOUT: return TAPFERRY_TIMEOUT;
    // Of execve(2) or connect(2): what the helper itself says has no errno here.
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case ECONNREFUSED: return TAPFERRY_UNAVAILABLE;
    default: return TAPFERRY_FAILED;
  }
}

// Reports `error` to a caller who may not want to know more than the code.
int fail(tapferry_code code, const Error& error, tapferry_error** out) {
  if (out != nullptr) *out = new tapferry_error{code, error.line()};
  return code;
}

int fail_usage(const Error& error, tapferry_error** out) { return fail(TAPFERRY_USAGE, error, out); }

Result<Answer> ask(const tapferry_client& client, const char* spec) {
  if (is_by_broker(client)) return tapferry::ask_broker(client.broker, spec, client.timeout_ms);
  return tapferry::ask_helper(helper_options(client, tapferry::ask_by_net(client.helper, spec)));
}

Result<GrantedInterface> get(const tapferry_client& client, const char* spec) {
  Answer answer = TRY(ask(client, spec));
  return tapferry::take_interface(std::move(answer));
}

int change(const tapferry_client* client, GrantChange change, const char* ifname, tapferry_error** error) {
  if (error != nullptr) *error = nullptr;
  if (ifname == nullptr || !tapferry::is_interface_name(ifname)) {
    return fail_usage(Error("use", ifname == nullptr ? "NULL" : ifname, "no interface can have that name"), error);
  }
  const tapferry_client how = or_default(client);
  const Status status = is_by_broker(how)
                            ? tapferry::ask_broker_to_change(how.broker, change, ifname, how.timeout_ms)
                            : tapferry::ask_to_change(helper_options(how, {how.helper, {}}), change, ifname);
  return status.is_ok() ? TAPFERRY_OK : fail(code_of(status.error()), status.error(), error);
}

int set_path(tapferry_client* client, std::string tapferry_client::*member, const char* path) {
  if (client == nullptr || path == nullptr || *path == '\0') return TAPFERRY_USAGE;
  client->*member = path;
  return TAPFERRY_OK;
}

int descriptor(const std::vector<Fd>& fds, unsigned index) { return index < fds.size() ? fds[index].get() : -1; }

int take(std::vector<Fd>* fds, unsigned index) { return index < fds->size() ? (*fds)[index].release() : -1; }

}  // namespace

const char* tapferry_version(void) { return TAPFERRY_VERSION; }

tapferry_client* tapferry_client_new(void) { return new tapferry_client(default_client()); }

void tapferry_client_free(tapferry_client* client) { delete client; }

int tapferry_client_set_via(tapferry_client* client, tapferry_via via) {
  if (client == nullptr) return TAPFERRY_USAGE;
  switch (via) {
    case TAPFERRY_VIA_AUTO: client->via = Via::kAuto; return TAPFERRY_OK;
    case TAPFERRY_VIA_HELPER: client->via = Via::kHelper; return TAPFERRY_OK;
    case TAPFERRY_VIA_BROKER: client->via = Via::kBroker; return TAPFERRY_OK;
  }
  return TAPFERRY_USAGE;
}

int tapferry_client_set_helper(tapferry_client* client, const char* path) {
  return set_path(client, &tapferry_client::helper, path);
}

int tapferry_client_set_broker(tapferry_client* client, const char* path) {
  return set_path(client, &tapferry_client::broker, path);
}

int tapferry_client_set_timeout_ms(tapferry_client* client, int timeout_ms) {
  if (client == nullptr || timeout_ms <= 0) return TAPFERRY_USAGE;
  client->timeout_ms = timeout_ms;
  return TAPFERRY_OK;
}

int tapferry_ask(const tapferry_client* client, const char* spec, tapferry_grant** grant, tapferry_error** error) {
  if (error != nullptr) *error = nullptr;
  if (grant == nullptr) return fail_usage(Error("get", "an interface", "there is no place for the grant"), error);
  *grant = nullptr;
  if (spec == nullptr) return fail_usage(Error("get", "an interface", "SPEC is NULL"), error);
  const auto parsed = tapferry::parse_spec(spec);
  if (!parsed.is_ok()) return fail_usage(parsed.error(), error);
  Result<GrantedInterface> got = get(or_default(client), spec);
  if (!got.is_ok()) return fail(code_of(got.error()), got.error(), error);
  const tapferry::Grant& record = got.value().grant;
  std::string json = to_json_line(record);
  json.pop_back();
  std::string kind(kind_name(record.kind));
  std::string mac = to_string(record.mac);
  *grant = new tapferry_grant{std::move(got).value(), std::move(json), std::move(kind), std::move(mac)};
  return TAPFERRY_OK;
}

int tapferry_up(const tapferry_client* client, const char* ifname, tapferry_error** error) {
  return change(client, GrantChange::kBringUp, ifname, error);
}

int tapferry_release(const tapferry_client* client, const char* ifname, tapferry_error** error) {
  return change(client, GrantChange::kRelease, ifname, error);
}

void tapferry_grant_free(tapferry_grant* grant) { delete grant; }

const char* tapferry_grant_json(const tapferry_grant* grant) { return grant->json.c_str(); }

const char* tapferry_grant_kind(const tapferry_grant* grant) { return grant->kind.c_str(); }

const char* tapferry_grant_ifname(const tapferry_grant* grant) { return grant->interface.grant.ifname.c_str(); }

unsigned tapferry_grant_ifindex(const tapferry_grant* grant) {
  return static_cast<unsigned>(grant->interface.grant.ifindex);
}

const char* tapferry_grant_upper(const tapferry_grant* grant) {
  const std::string& upper = grant->interface.grant.upper;
  return upper.empty() ? nullptr : upper.c_str();
}

const char* tapferry_grant_mac(const tapferry_grant* grant) { return grant->mac.c_str(); }

unsigned tapferry_grant_mtu(const tapferry_grant* grant) { return grant->interface.grant.mtu; }

unsigned tapferry_grant_vnet_hdr_sz(const tapferry_grant* grant) { return grant->interface.grant.vnet_hdr_sz; }

int tapferry_grant_up(const tapferry_grant* grant) { return grant->interface.grant.up ? 1 : 0; }

const char* tapferry_grant_rule(const tapferry_grant* grant) { return grant->interface.grant.rule.c_str(); }

unsigned tapferry_grant_queues(const tapferry_grant* grant) { return grant->interface.grant.queues; }

unsigned tapferry_grant_vhosts(const tapferry_grant* grant) { return grant->interface.grant.vhost; }

int tapferry_grant_queue_fd(const tapferry_grant* grant, unsigned index) {
  return descriptor(grant->interface.queues, index);
}

int tapferry_grant_vhost_fd(const tapferry_grant* grant, unsigned index) {
  return descriptor(grant->interface.vhost, index);
}

int tapferry_grant_take_queue_fd(tapferry_grant* grant, unsigned index) {
  return take(&grant->interface.queues, index);
}

int tapferry_grant_take_vhost_fd(tapferry_grant* grant, unsigned index) { return take(&grant->interface.vhost, index); }

int tapferry_error_code(const tapferry_error* error) { return error->code; }

const char* tapferry_error_message(const tapferry_error* error) { return error->message.c_str(); }

void tapferry_error_free(tapferry_error* error) { delete error; }
