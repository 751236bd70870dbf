// SPDX-License-Identifier: MIT
#include "net/ask_broker.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/parse.h"
#include "base/syscall.h"
#include "base/text.h"
#include "net/json_object.h"
#include "paths.h"

namespace tapferry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* kBroker = "the broker";
// A grant record and what Varlink puts around it.
constexpr size_t kMaxReply = 16384;
// The reply, its parameters, and the record or a list in them.
constexpr int kReplyDepth = 3;

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error::from_errno("connect to the broker at", path, ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return Error::from_errno("make", "a socket", errno);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  Error error = Error::from_errno("connect to the broker at", path, errno);
  if (error.code() != ENOENT && error.code() != ECONNREFUSED) return error;
  return std::move(error).with_hint("is tapferryd running, and its socket visible in this container? tapferryd(8)");
}

// Reads up to the zero byte that ends the reply; the descriptors come with its first byte.
Status receive_reply(int socket, int timeout_ms, Answer* answer, std::string* reply) {
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  while (reply->find('\0') == std::string::npos) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    pollfd readable = {socket, POLLIN, 0};
    const int ready = left <= 0 ? 0 : retry_on_eintr([&] { return poll(&readable, 1, static_cast<int>(left)); });
    if (ready == 0) return Error::from_errno("wait for", kBroker, ETIMEDOUT);
    if (ready < 0) return Error::from_errno("wait for", kBroker, errno);
    ReceivedMessage received = TRY(receive_with_fds(socket, kMaxReply));
    if (received.bytes.empty())
      return Error("get", answer->request, "the broker closed the connection without a reply");
    answer->is_truncated |= received.is_truncated;
    *reply += received.bytes;
    for (Fd& fd : received.fds) {
      if (answer->fds.size() < kMaxPassedFds) answer->fds.push_back(std::move(fd));
    }
    if (reply->size() > kMaxReply) return Error("get", answer->request, "the broker's reply has no end");
  }
  answer->trailing_bytes = reply->size() - reply->find('\0') - 1;
  reply->resize(reply->find('\0'));
  return {};
}

// That the numbers from `first` on stand there, as many as there are: our descriptors are used in the order in which they came.
bool counts_up(const Json& object, const char* name, size_t first, size_t* count) {
  const Json* numbers = find_member(&object, name);
  if (numbers == nullptr || !numbers->is_array()) return false;
  *count = numbers->size();
  for (size_t i = 0; i < *count; ++i) {
    if ((*numbers)[i] != first + i) return false;
  }
  return true;
}

// What the reply holds, which is none to another method than `method`.
Result<Json> read_parameters(const std::string& reply, const std::string& request, const char* method) {
  const Result<Json> root = parse_json_object(reply, kReplyDepth);
  const Json* object = root.is_ok() ? &root.value() : nullptr;
  const Json* parameters = find_object(object, "parameters");
  if (const std::string* error = find_text(object, "error")) {
    const std::string* words = find_text(parameters, "message");
    return Error("get", request, words == nullptr || words->empty() ? "the broker answered " + *error : *words);
  }
  if (parameters != nullptr) return *parameters;
  return Error("get", request, std::string("the broker's reply is none to ") + method);
}

// The record as a line, from the reply's JSON.
Result<std::string> read_record(const std::string& reply, const std::string& request) {
  const Json parameters = TRY(read_parameters(reply, request, "Open"));
  const Json* grant = find_object(&parameters, "grant");
  size_t queues = 0;
  size_t vhost = 0;
  if (grant == nullptr || !counts_up(parameters, "queue_fds", 0, &queues) ||
      !counts_up(parameters, "vhost_fds", queues, &vhost)) {
    return Error("get", request, "the broker's reply is none to Open");
  }
  return to_text(*grant) + "\n";
}

// The reply's JSON; its descriptors are the answer's.
Result<std::string> call_broker(const std::string& socket_path, const char* method, const std::string& parameter,
                                int timeout_ms, Answer* answer) {
  const Fd socket = TRY(connect_to(socket_path));
  const std::string call = std::string(R"({"method":"org.tapferry.Broker.)") + method + R"(","parameters":{)" +
                           parameter + "}}" + std::string(1, '\0');
  const Status sent = send_with_fds(socket.get(), call, {}, timeout_ms);
  // A broker that turns this user away says why before it closes.
  if (!sent.is_ok() && sent.error().code() != EPIPE) return sent.error();
  std::string reply;
  TRY(receive_reply(socket.get(), timeout_ms, answer, &reply));
  return reply;
}

// Root of a user namespace has every capability, but over the network namespaces only that were made in it; for others the
// ioctl fails with EPERM (ioctl_ns(2)).
bool rules_network_namespace() {
  const Result<Fd> network = open_file("/proc/self/ns/net", O_RDONLY);
  if (!network.is_ok()) return true;
  const Fd owner(ioctl(network.value().get(), NS_GET_USERNS));
  return owner.is_open() || errno != EPERM;
}

bool has_net_admin() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_NET_ADMIN)) != 0 &&
         rules_network_namespace();
}

bool is_in_user_namespace() {
  const Result<Fd> map = open_file("/proc/self/uid_map", O_RDONLY);
  if (!map.is_ok()) return false;
  const Result<std::string> text = read_all(map.value().get(), 4096, "/proc/self/uid_map");
  if (!text.is_ok()) return false;
  const std::string_view line = std::string_view(text.value()).substr(0, text.value().find('\n'));
  const auto words = split_words(line);
  return words.size() != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295";
}

}  // namespace

std::string broker_socket() {
  const char* path = secure_getenv("TAPFERRY_BROKER");
  return path != nullptr && *path != '\0' ? path : TAPFERRY_BROKER_SOCKET;
}

Result<Answer> ask_broker(const std::string& socket, std::string_view spec, int timeout_ms) {
  Answer answer;
  answer.request = spec;
  answer.helper = kBroker;
  const std::string reply = TRY(call_broker(socket, "Open", json_pair("net", spec), timeout_ms, &answer));
  answer.bytes = TRY(read_record(reply, answer.request));
  answer.has_message = true;
  return answer;
}

Status ask_broker_to_change(const std::string& socket, GrantChange change, const std::string& ifname, int timeout_ms) {
  const char* method = change == GrantChange::kRelease ? "Release" : "Up";
  Answer answer;
  answer.request = ifname;
  const std::string reply = TRY(call_broker(socket, method, json_pair("ifname", ifname), timeout_ms, &answer));
  const Result<Json> done = read_parameters(reply, ifname, method);
  if (done.is_ok()) return {};
  return Error(change == GrantChange::kRelease ? "release" : "bring up", ifname, done.error().reason());
}

std::optional<Via> parse_via(std::string_view text) {
  if (text == "helper") return Via::kHelper;
  if (text == "broker") return Via::kBroker;
  if (text == "auto") return Via::kAuto;
  return std::nullopt;
}

std::optional<std::string> why_setuid_cannot_work(const std::string& helper) {
  if (has_net_admin()) return std::nullopt;
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) return "no_new_privs is set";
  if (is_in_user_namespace()) return "this is a user namespace";
  struct statvfs file_system;
  if (statvfs(helper.c_str(), &file_system) == 0 && (file_system.f_flag & ST_NOSUID)) {
    return helper + " is on a file system that is mounted nosuid";
  }
  struct stat file;
  if (stat(helper.c_str(), &file) != 0) return errno == ENOENT ? std::optional(helper + " isn't there") : std::nullopt;
  // As `--with-privilege=broker' installs it.
  if ((file.st_mode & S_ISUID) == 0 && getxattr(helper.c_str(), "security.capability", nullptr, 0) < 0)
    return helper + " has neither the setuid bit nor capabilities";
  return std::nullopt;
}

bool is_by_broker(Via via, const std::string& helper, const std::string& socket) {
  if (via != Via::kAuto) return via == Via::kBroker;
  return access(socket.c_str(), F_OK) == 0 && why_setuid_cannot_work(helper).has_value();
}

Result<Answer> ask_via(Via via, const std::string& helper, std::string_view spec) {
  const std::string socket = broker_socket();
  return is_by_broker(via, helper, socket) ? ask_broker(socket, spec) : ask_helper(ask_by_net(helper, spec));
}

Status change_via(Via via, const std::string& helper, GrantChange change, const std::string& ifname) {
  const std::string socket = broker_socket();
  return is_by_broker(via, helper, socket) ? ask_broker_to_change(socket, change, ifname)
                                           : ask_to_change({helper, {}}, change, ifname);
}

}  // namespace tapferry
