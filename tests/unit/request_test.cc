// SPDX-License-Identifier: MIT
#include "helper/request.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace tapferry {
namespace {

// The argument list as main() gets it.
class Arguments {
 public:
  explicit Arguments(std::vector<std::string> words) : words_(std::move(words)) {
    words_.insert(words_.begin(), "tapferry-helper");
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  int count() const { return static_cast<int>(words_.size()); }
  char** values() { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

Result<Request> parse(std::vector<std::string> words) {
  Arguments arguments(std::move(words));
  return parse_request(arguments.count(), arguments.values());
}

std::string error_of(std::vector<std::string> words) {
  const Result<Request> parsed = parse(std::move(words));
  return parsed.is_ok() ? "" : parsed.error().line();
}

unsigned most_queues(std::vector<std::string> words) {
  Arguments arguments(std::move(words));
  return most_queues_asked(arguments.count(), arguments.values());
}

TEST(Request, QemusAndLibvirtsOrdersMeanTheSame) {
  for (const auto& words : {std::vector<std::string>{"--use-vnet", "--fd=27", "--br=br0"},
                            std::vector<std::string>{"--use-vnet", "--br=br0", "--fd=27"}}) {
    const Result<Request> parsed = parse(words);
    ASSERT_TRUE(parsed.is_ok());
    EXPECT_TRUE(parsed.value().is_br_form);
    EXPECT_EQ(parsed.value().fd, 27);
    EXPECT_EQ(parsed.value().spec_text, "bridge=br0,vnet_hdr_sz=10");
  }
}

TEST(Request, WithoutUseVnetThereIsNoHeader) { EXPECT_FALSE(parse({"--br=br0", "--fd=3"}).value().spec.vnet_hdr); }

TEST(Request, ReleaseGoesAlone) {
  const Result<Request> parsed = parse({"--release", "vm-1"});
  ASSERT_TRUE(parsed.is_ok());
  EXPECT_EQ(parsed.value().action, Action::kRelease);
  EXPECT_EQ(parsed.value().ifname, "vm-1");
  EXPECT_EQ(parsed.value().spec_text, "release=vm-1");
  for (const char* other :
       {"--net=tap", "--br=br0", "--fd=3", "--use-vnet", "--explain", "--policy=/p", "--release=vm-2", "vm-2"}) {
    EXPECT_TRUE(error_of({"--release=vm-1", other}).starts_with("Usage")) << other;
  }
  EXPECT_LE(parse({"--release=" + std::string(9000, 'x')}).value().spec_text.size(), kMaxSpecLength + 8);
}

TEST(Request, UpGoesAlone) {
  const Result<Request> parsed = parse({"--up=vm-1"});
  ASSERT_TRUE(parsed.is_ok());
  EXPECT_EQ(parsed.value().action, Action::kBringUp);
  EXPECT_EQ(parsed.value().ifname, "vm-1");
  EXPECT_EQ(parsed.value().spec_text, "up=vm-1");
  for (const char* other : {"--net=tap", "--fd=3", "--explain", "--rules", "--policy=/p", "--release=vm-1", "vm-2"}) {
    EXPECT_TRUE(error_of({"--up=vm-1", other}).starts_with("Usage")) << other;
  }
}

TEST(Request, UsageErrorsBeginWithTheWord) {
  for (const auto& words : {std::vector<std::string>{},
                            {"--br=br0"},
                            {"--fd=3"},
                            {"--br=br0", "--net=bridge=br0", "--fd=3"},
                            {"--br=br0", "--br=br1", "--fd=3"},
                            {"--br=br0", "--fd=3", "extra"},
                            {"--frobnicate"},
                            {"--net=bridge=br0", "--use-vnet", "--fd=3"},
                            {"--explain", "--br=br0", "--fd=3"}}) {
    EXPECT_TRUE(error_of(words).starts_with("Usage: ")) << error_of(words);
  }
}

TEST(Request, DescriptorIsANumberAndNothingElse) {
  for (const char* fd :
       {"--fd=", "--fd=zz", "--fd=3x", "--fd=-1", "--fd=0x3", "--fd= 3", "--fd=03", "--fd=2147483648"}) {
    EXPECT_NE(error_of({"--br=br0", fd}), "") << fd;
  }
}

TEST(Request, Cve201913164LongNameIsRefusedInQemusWords) {
  EXPECT_TRUE(error_of({"--br=0123456789abcdef", "--fd=3"}).starts_with("name `0123456789abcdef' too long: 16"));
  for (const char* name : {"--br=a,b", "--br=a=b"}) {
    EXPECT_NE(error_of({name, "--fd=3"}).find("no rule can have a name with , or ="), std::string::npos) << name;
  }
  EXPECT_EQ(error_of({"--br=0123456789abcde", "--fd=3"}), "");
}

TEST(QueuesSeenBeforeParsing, AreAsManyAsAskedFor) {
  EXPECT_EQ(most_queues({"--br=br0", "--fd=3"}), 1u);
  EXPECT_EQ(most_queues({"--net=bridge=br0,queues=8", "--fd=3"}), 8u);
  EXPECT_EQ(most_queues({"--net", "bridge=br0,queues=64"}), 64u);
}

TEST(QueuesSeenBeforeParsing, AreNeverMoreThanTheLimitWhateverIsThere) {
  EXPECT_EQ(most_queues({"--net=bridge=br0,queues=99"}), kMaxQueues);
  EXPECT_EQ(most_queues({"queues=99999999999999999999"}), kMaxQueues);
  EXPECT_EQ(most_queues({"queues=", "queues=x", "queues=-5", "queues=0"}), 1u);
  EXPECT_EQ(most_queues({"queues=2queues=7"}), 7u);
}

TEST(VhostSeenBeforeParsing, IsWhereTheWordsAre) {
  const auto is_asked = [](std::vector<std::string> words) {
    Arguments arguments(std::move(words));
    return is_vhost_asked(arguments.count(), arguments.values());
  };
  EXPECT_TRUE(is_asked({"--net=bridge=br0,vhost=on", "--fd=3"}));
  EXPECT_TRUE(is_asked({"--fd=3", "--net", "vhost=auto"}));
  EXPECT_FALSE(is_asked({"--net=bridge=br0,vhost=off"}));
  EXPECT_FALSE(is_asked({"--net=bridge=br0,vhost=", "on", "--br=vhost"}));
  EXPECT_FALSE(is_asked({}));
}

}  // namespace
}  // namespace tapferry
