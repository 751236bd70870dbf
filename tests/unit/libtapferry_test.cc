// SPDX-License-Identifier: MIT
//
// What C sees, with a broker that says what the test wants: objects, ownership, codes.
#include "lib/tapferry.h"

#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kRecord =
    R"({"version":1,"kind":"macvtap","ifname":"vm-1","ifindex":7,"upper":null,"queues":2,"vhost":2,"vnet_hdr":true,)"
    R"("vnet_hdr_sz":12,"mac":"52:54:00:00:00:0c","mtu":9000,"up":false,"rule":"policy.conf:3"})";

struct Free {
  void operator()(tapferry_client* client) const { tapferry_client_free(client); }
  void operator()(tapferry_grant* grant) const { tapferry_grant_free(grant); }
  void operator()(tapferry_error* error) const { tapferry_error_free(error); }
};

// Answers one call with `reply` and as many descriptors, then closes.
class Broker {
 public:
  Broker(std::string reply, size_t fds) : reply_(std::move(reply)), fds_(fds) {
    char folder[] = "/tmp/libtapferry-XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/socket";
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Broker() {
    thread_.join();
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  const std::string& path() const { return path_; }

 private:
  void serve() {
    const Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char call[4096];
    EXPECT_GT(recv(client.get(), call, sizeof call, 0), 0);
    const Fd null = open_file("/dev/null", O_RDONLY | O_NONBLOCK).value();
    const std::vector<int> fds(fds_, null.get());
    EXPECT_TRUE(send_with_fds(client.get(), reply_ + std::string(1, '\0'), fds, 10000).is_ok());
  }

  std::string reply_;
  size_t fds_;
  std::string folder_;
  std::string path_;
  Fd listener_;
  std::thread thread_;
};

struct Asked {
  int code = -1;
  std::unique_ptr<tapferry_grant, Free> grant;
  std::unique_ptr<tapferry_error, Free> error;
};

Asked ask(const std::string& reply, size_t fds) {
  const Broker broker(reply, fds);
  const std::unique_ptr<tapferry_client, Free> client(tapferry_client_new());
  EXPECT_EQ(tapferry_client_set_via(client.get(), TAPFERRY_VIA_BROKER), TAPFERRY_OK);
  EXPECT_EQ(tapferry_client_set_broker(client.get(), broker.path().c_str()), TAPFERRY_OK);
  EXPECT_EQ(tapferry_client_set_timeout_ms(client.get(), 60000), TAPFERRY_OK);
  tapferry_grant* grant;
  tapferry_error* error;
  Asked asked;
  asked.code = tapferry_ask(client.get(), "macvtap=eth0,queues=2,vhost=on", &grant, &error);
  asked.grant.reset(grant);
  asked.error.reset(error);
  return asked;
}

std::string reply_with(const std::string& grant) {
  return R"({"parameters":{"grant":)" + grant + R"(,"queue_fds":[0,1],"vhost_fds":[2,3]}})";
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(Library, GrantHasTheFactsOfTheRecord) {
  const Asked asked = ask(reply_with(kRecord), 4);
  ASSERT_EQ(asked.code, TAPFERRY_OK);
  EXPECT_EQ(asked.error, nullptr);
  const tapferry_grant* grant = asked.grant.get();
  EXPECT_STREQ(tapferry_grant_json(grant), kRecord);
  EXPECT_STREQ(tapferry_grant_kind(grant), "macvtap");
  EXPECT_STREQ(tapferry_grant_ifname(grant), "vm-1");
  EXPECT_EQ(tapferry_grant_ifindex(grant), 7u);
  EXPECT_EQ(tapferry_grant_upper(grant), nullptr);
  EXPECT_STREQ(tapferry_grant_mac(grant), "52:54:00:00:00:0c");
  EXPECT_EQ(tapferry_grant_mtu(grant), 9000u);
  EXPECT_EQ(tapferry_grant_vnet_hdr_sz(grant), 12u);
  EXPECT_EQ(tapferry_grant_up(grant), 0);
  EXPECT_STREQ(tapferry_grant_rule(grant), "policy.conf:3");
  EXPECT_EQ(tapferry_grant_queues(grant), 2u);
  EXPECT_EQ(tapferry_grant_vhosts(grant), 2u);
}

TEST(Library, DescriptorsAreClosedWithTheGrantUnlessTheyWereTaken) {
  Asked asked = ask(reply_with(kRecord), 4);
  ASSERT_EQ(asked.code, TAPFERRY_OK);
  tapferry_grant* grant = asked.grant.get();
  const int kept = tapferry_grant_queue_fd(grant, 0);
  const Fd taken(tapferry_grant_take_queue_fd(grant, 1));
  const Fd taken_vhost(tapferry_grant_take_vhost_fd(grant, 0));
  const int kept_vhost = tapferry_grant_vhost_fd(grant, 1);
  EXPECT_TRUE(is_open(kept) && is_open(taken.get()) && is_open(taken_vhost.get()) && is_open(kept_vhost));
  EXPECT_EQ(fcntl(kept, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(tapferry_grant_queue_fd(grant, 1), -1);
  EXPECT_EQ(tapferry_grant_take_queue_fd(grant, 1), -1);
  EXPECT_EQ(tapferry_grant_queue_fd(grant, 2), -1);
  EXPECT_EQ(tapferry_grant_take_vhost_fd(grant, 2), -1);
  asked.grant.reset();
  EXPECT_FALSE(is_open(kept) || is_open(kept_vhost));
  EXPECT_TRUE(is_open(taken.get()) && is_open(taken_vhost.get()));
}

TEST(Library, RepliesThatAreNoneAreErrors) {
  for (const auto& [reply, fds, says] : std::vector<std::tuple<std::string, size_t, std::string>>{
           {reply_with(kRecord), 3, "sent 3 descriptors where its record says 4"},
           {reply_with("{}"), 4, "version is missing"},
           {reply_with("[]"), 4, "is none to Open"},
           {reply_with("{\"a\":{\"b\":[]}}"), 4, "is none to Open"},
           {"{}", 0, "is none to Open"},
           {"{\"parameters\":{}}", 0, "is none to Open"},
           {"nonsense", 0, "is none to Open"},
           {R"({"error":"org.varlink.service.MethodNotFound"})", 0, "answered org.varlink.service.MethodNotFound"}}) {
    const Asked asked = ask(reply, fds);
    EXPECT_EQ(asked.code, TAPFERRY_FAILED) << reply;
    EXPECT_EQ(asked.grant, nullptr);
    ASSERT_NE(asked.error, nullptr);
    EXPECT_EQ(tapferry_error_code(asked.error.get()), TAPFERRY_FAILED);
    EXPECT_NE(std::string(tapferry_error_message(asked.error.get())).find(says), std::string::npos)
        << tapferry_error_message(asked.error.get());
  }
}

TEST(Library, RefusalHasTheHelpersLine) {
  const Asked asked = ask(R"({"error":"org.tapferry.Broker.Refused","parameters":{"message":)"
                          R"("tapferry-helper: access denied by acl file: \u001b"}})",
                          0);
  EXPECT_EQ(asked.code, TAPFERRY_REFUSED);
  EXPECT_STREQ(tapferry_error_message(asked.error.get()),
               "get macvtap=eth0,queues=2,vhost=on: tapferry-helper: access denied by acl file: \\x1b");
}

TEST(Library, RecordOnSeveralLinesIsRead) {
  std::string record = kRecord;
  for (size_t at = 0; (at = record.find(",\"", at)) != std::string::npos; at += 3) record.insert(at + 1, "\r\n ");
  EXPECT_STREQ(tapferry_grant_json(ask(reply_with(record), 4).grant.get()), kRecord);
}

TEST(Library, WhatCantBeAskedIsUsage) {
  tapferry_grant* grant = nullptr;
  tapferry_error* error = nullptr;
  EXPECT_EQ(tapferry_ask(nullptr, nullptr, &grant, &error), TAPFERRY_USAGE);
  EXPECT_STREQ(tapferry_error_message(error), "get an interface: SPEC is NULL");
  tapferry_error_free(error);
  EXPECT_EQ(tapferry_ask(nullptr, "tap", nullptr, &error), TAPFERRY_USAGE);
  tapferry_error_free(error);
  EXPECT_EQ(tapferry_ask(nullptr, "owl", &grant, nullptr), TAPFERRY_USAGE);
  EXPECT_EQ(grant, nullptr);
  EXPECT_EQ(tapferry_up(nullptr, nullptr, nullptr), TAPFERRY_USAGE);
  EXPECT_EQ(tapferry_release(nullptr, "a b", &error), TAPFERRY_USAGE);
  EXPECT_STREQ(tapferry_error_message(error), "use a b: no interface can have that name");
  tapferry_error_free(error);
}

TEST(Library, OptionsThatCantBeChangeNothing) {
  const std::unique_ptr<tapferry_client, Free> client(tapferry_client_new());
  EXPECT_EQ(tapferry_client_set_via(client.get(), static_cast<tapferry_via>(3)), TAPFERRY_USAGE);
  EXPECT_EQ(tapferry_client_set_via(nullptr, TAPFERRY_VIA_AUTO), TAPFERRY_USAGE);
  for (const char* path : {static_cast<const char*>(nullptr), ""}) {
    EXPECT_EQ(tapferry_client_set_helper(client.get(), path), TAPFERRY_USAGE);
    EXPECT_EQ(tapferry_client_set_broker(client.get(), path), TAPFERRY_USAGE);
  }
  EXPECT_EQ(tapferry_client_set_helper(nullptr, "/x"), TAPFERRY_USAGE);
  EXPECT_EQ(tapferry_client_set_timeout_ms(client.get(), 0), TAPFERRY_USAGE);
  EXPECT_EQ(tapferry_client_set_timeout_ms(nullptr, 1), TAPFERRY_USAGE);
}

TEST(Library, NothingIsFreedWithoutHarm) {
  tapferry_client_free(nullptr);
  tapferry_grant_free(nullptr);
  tapferry_error_free(nullptr);
}

}  // namespace
}  // namespace tapferry
