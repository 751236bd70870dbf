// SPDX-License-Identifier: MIT
//
// The QMP client against a QEMU of a few lines: commands, answers, errors, and descriptors on the way.
#include "tools/qmp.h"

#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kGreeting = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

// Serves one client: greets, then answers each line by `answer_`, which gets the line and is given its id.
class Qemu {
 public:
  using Answer = std::string (*)(const std::string& line, const std::string& id);

  explicit Qemu(Answer answer) : path_(testing::TempDir() + "/qmp-" + std::to_string(getpid())), answer_(answer) {
    listening_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(path_.c_str());
    EXPECT_EQ(bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listening_.get(), 1), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Qemu() {
    shutdown(listening_.get(), SHUT_RDWR);
    thread_.join();
    unlink(path_.c_str());
  }
  Qemu(const Qemu&) = delete;
  Qemu& operator=(const Qemu&) = delete;

  const std::string& path() const { return path_; }
  // Once its client has gone.
  const std::vector<std::string>& lines() {
    shutdown(listening_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([] {});
    return lines_;
  }
  const std::vector<Fd>& fds() const { return fds_; }

 private:
  void serve() {
    const Fd client(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.is_open() || !write_all(client.get(), kGreeting, "greeting").is_ok()) return;
    std::string unread;
    for (;;) {
      auto received = receive_with_fds(client.get(), 4096);
      if (!received.is_ok() || received.value().bytes.empty()) return;
      unread += received.value().bytes;
      for (Fd& fd : received.value().fds) fds_.push_back(std::move(fd));
      for (size_t end; (end = unread.find('\n')) != std::string::npos; unread.erase(0, end + 1)) {
        lines_.push_back(unread.substr(0, end));
        const std::string id = std::to_string(lines_.size());
        const bool is_negotiation = lines_.size() == 1;
        const std::string said = is_negotiation ? R"({"return":{},"id":"1"})" : answer_(lines_.back(), id);
        if (!write_all(client.get(), said + "\r\n", "answer").is_ok()) return;
      }
    }
  }

  std::string path_;
  Answer answer_;
  Fd listening_;
  std::vector<std::string> lines_;
  std::vector<Fd> fds_;
  std::thread thread_;
};

std::string nothing(const std::string&, const std::string& id) { return R"({"return": {}, "id": ")" + id + "\"}"; }

TEST(Qmp, NegotiatesAndGivesWhatACommandReturns) {
  Qemu qemu([](const std::string&, const std::string& id) {
    return R"({"event": "RESUME"})"
           "\r\n"
           R"({"return": {"status": "running"}, "id": ")" +
           id + "\"}";
  });
  {
    Qmp qmp = Qmp::connect(qemu.path()).value();
    const JsonTree status = qmp.execute("query-status").value();
    EXPECT_STREQ(json_object_get_string_member(json_node_get_object(status.get()), "status"), "running");
    EXPECT_FALSE(qmp.has_ended());
    EXPECT_TRUE(qmp.execute("set_link", R"({"name":"n0","up":false})").is_ok());
  }
  EXPECT_EQ(qemu.lines(), (std::vector<std::string>{
                              R"({"execute":"qmp_capabilities","id":"1"})", R"({"execute":"query-status","id":"2"})",
                              R"({"execute":"set_link","arguments":{"name":"n0","up":false},"id":"3"})"}));
}

TEST(Qmp, AnErrorOfQemusHasItsWordsAndLeavesTheConnection) {
  Qemu qemu([](const std::string&, const std::string& id) {
    return R"({"error": {"class": "GenericError", "desc": "no"}, "id": ")" + id + "\"}";
  });
  Qmp qmp = Qmp::connect(qemu.path()).value();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(qmp.execute("stop").error().line(), "have QEMU do stop: no (GenericError)");
    EXPECT_FALSE(qmp.has_ended());
  }
}

TEST(Qmp, PassesDescriptorsWithTheirNames) {
  Qemu qemu(nothing);
  const Fd passed = open_file("/dev/null", O_RDONLY).value();
  {
    Qmp qmp = Qmp::connect(qemu.path()).value();
    EXPECT_TRUE(qmp.execute("getfd", R"({"fdname":"tap-0"})", {{passed.get()}}).is_ok());
    EXPECT_TRUE(qmp.execute("cont").is_ok());
  }
  EXPECT_EQ(qemu.lines()[1], R"({"execute":"getfd","arguments":{"fdname":"tap-0"},"id":"2"})");
  ASSERT_EQ(qemu.fds().size(), 1u) << "with the one command only";
  struct stat ours;
  struct stat theirs;
  ASSERT_EQ(fstat(passed.get(), &ours), 0) << "it stays the caller's";
  ASSERT_EQ(fstat(qemu.fds()[0].get(), &theirs), 0);
  EXPECT_EQ(ours.st_rdev, theirs.st_rdev);
}

TEST(Qmp, AnAnswerThatDoesNotComeIsATimeout) {
  Qemu qemu([](const std::string&, const std::string&) { return std::string(R"({"event": "STOP"})"); });
  Qmp qmp = Qmp::connect(qemu.path(), 200).value();
  EXPECT_EQ(qmp.execute("stop").error().code(), ETIMEDOUT);
  EXPECT_FALSE(qmp.has_ended());
  EXPECT_TRUE(qmp.drain().is_ok()) << "nothing there is no end";
}

TEST(Qmp, WhatIsNoObjectEndsIt) {
  Qemu qemu([](const std::string&, const std::string&) { return std::string("\"words\""); });
  Qmp qmp = Qmp::connect(qemu.path()).value();
  EXPECT_FALSE(qmp.execute("stop").is_ok());
  EXPECT_TRUE(qmp.has_ended());
}

}  // namespace
}  // namespace tapferry
