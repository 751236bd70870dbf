// SPDX-License-Identifier: MIT
#include "vhost/options.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

Result<VhostOptions> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "tapferry-vhost");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  return parse_vhost_options(static_cast<int>(words.size()), arguments.data());
}

std::string refused(std::vector<std::string> words) {
  const auto parsed = parse(std::move(words));
  return parsed.is_ok() ? "accepted" : parsed.error().line();
}

TEST(VhostOptionsTest, LeastThatIsNeeded) {
  const VhostOptions options = parse({"--socket-path=/tmp/s", "--net=bridge=br0"}).value();
  EXPECT_EQ(*options.socket_path, "/tmp/s");
  EXPECT_EQ(to_string(*options.net), "bridge=br0");
  EXPECT_EQ(options.engine, EngineKind::kAuto);
  EXPECT_TRUE(options.has_coalescing);
  EXPECT_EQ(options.stats_seconds, 0u);
  EXPECT_EQ(options.state_fd, -1);
  EXPECT_FALSE(options.helper.empty());
}

TEST(VhostOptionsTest, AllOfThem) {
  const VhostOptions options =
      parse({"--fd=5", "--tap-fd=7:8:9", "--engine=epoll", "--coalesce=off", "--busy-poll=50", "--follow-link",
             "--stats=2", "--stats-format=json", "--pcap=/tmp/p", "--state-fd=4", "--supervisor-fd=6"})
          .value();
  EXPECT_EQ(options.socket_fd, 5);
  EXPECT_EQ(options.tap_fds, (std::vector<int>{7, 8, 9}));
  EXPECT_EQ(options.engine, EngineKind::kEpoll);
  EXPECT_FALSE(options.has_coalescing);
  EXPECT_EQ(options.busy_poll_us, 50u);
  EXPECT_TRUE(options.follows_link);
  EXPECT_EQ(options.stats_seconds, 2u);
  EXPECT_TRUE(options.has_json_stats);
  EXPECT_EQ(*options.pcap, "/tmp/p");
  EXPECT_EQ(options.state_fd, 4);
  EXPECT_EQ(options.supervisor_fd, 6);
}

TEST(VhostOptionsTest, ExactlyOneSocketAndOneInterface) {
  EXPECT_NE(refused({"--net=bridge=br0"}).find("one of --socket-path and --fd"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s", "--fd=3", "--net=bridge=br0"}).find("one of"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s"}).find("one of --net and --tap-fd"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s", "--net=bridge=br0", "--tap-fd=3"}).find("one of"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s", "--queues=2", "--tap-fd=3"}).find("--queues"), std::string::npos);
}

TEST(VhostOptionsTest, NumbersAreNumbersWithinTheirLimits) {
  for (const char* word : {"--fd=zz", "--fd=", "--fd=2", "--fd=-1", "--fd=4294967299", "--fd=03"}) {
    EXPECT_NE(refused({word, "--tap-fd=9"}).find("descriptor above 2"), std::string::npos) << word;
  }
  for (const char* word : {"--tap-fd=", "--tap-fd=3:", "--tap-fd=3::4", "--tap-fd=x", "--tap-fd=1"}) {
    EXPECT_NE(refused({"--socket-path=s", word}).find("descriptor above 2"), std::string::npos) << word;
  }
  for (const char* word : {"--queues=0", "--queues=65", "--busy-poll=-1", "--busy-poll=1000001", "--stats=0",
                           "--stats=1x", "--engine=fast", "--coalesce=1"}) {
    EXPECT_NE(refused({"--socket-path=s", "--net=bridge=br0", word}).find(word), std::string::npos) << word;
  }
}

TEST(VhostOptionsTest, QueuesAreAskedForWhereSpecDoesNotSay) {
  EXPECT_EQ(parse({"--socket-path=s", "--net=bridge=br0", "--queues=3"}).value().net->queues, 3u);
  EXPECT_EQ(parse({"--socket-path=s", "--net=bridge=br0,queues=3", "--queues=3"}).value().net->queues, 3u);
  EXPECT_EQ(refused({"--socket-path=s", "--net=bridge=br0,queues=2", "--queues=3"}),
            "read --queues=3: SPEC says otherwise");
}

TEST(VhostOptionsTest, SpecMustBeOneForThisProgram) {
  EXPECT_NE(refused({"--socket-path=s", "--net=nonsense"}).find("read nonsense"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s", "--net=bridge=br0,vnet_hdr=off"}).find("vnet_hdr=on"), std::string::npos);
  EXPECT_NE(refused({"--socket-path=s", "--net=bridge=br0,vhost=on"}).find("vhost="), std::string::npos);
}

TEST(VhostOptionsTest, FormatNeedsStats) {
  EXPECT_NE(refused({"--socket-path=s", "--tap-fd=3", "--stats-format=json"}).find("goes with --stats"),
            std::string::npos);
}

TEST(VhostOptionsTest, OtherWordsAreRefused) {
  EXPECT_NE(refused({"--socket-path=s", "--tap-fd=3", "more"}).find("`more' is no option"), std::string::npos);
  EXPECT_NE(refused({"--no-sandbox"}), "accepted");
}

TEST(VhostOptionsTest, CapabilitiesComeWhateverElseIsSaid) {
  EXPECT_EQ(parse({"--fd=zz", "--nonsense", "--print-capabilities"}).value().print, VhostOptions::Print::kCapabilities);
}

TEST(VhostOptionsTest, HelpAndVersionNeedNothingElse) {
  const VhostOptions help = parse({"--help"}).value();
  EXPECT_EQ(help.print, VhostOptions::Print::kHelp);
  EXPECT_NE(help.help.find("--supervisor-fd"), std::string::npos);
  EXPECT_EQ(parse({"--version"}).value().print, VhostOptions::Print::kVersion);
}

}  // namespace
}  // namespace tapferry
