// SPDX-License-Identifier: MIT
//
// The table of requests: every row against messages that fit it and messages that don't.
#include "vhost/requests.h"

#include <cstring>
#include <gtest/gtest.h>
#include <set>
#include <sys/eventfd.h>

namespace tapferry {
namespace {

void set_count(Message* message, uint32_t regions) { memcpy(message->payload.data(), &regions, sizeof regions); }

Message message_of(const RequestRule& rule) {
  Message message;
  message.request = static_cast<uint32_t>(rule.request);
  size_t fds = 0;
  switch (rule.payload) {
    case PayloadKind::kNone: break;
    case PayloadKind::kU64:
    case PayloadKind::kRingNumber:
    case PayloadKind::kRingFile: message.payload.resize(8); break;
    case PayloadKind::kRingAddresses: message.payload.resize(40); break;
    case PayloadKind::kRegions:
      message.payload.resize(8 + 2 * 32);
      set_count(&message, 2);
      fds = 2;
      break;
    case PayloadKind::kRegion: message.payload.resize(40); break;
    case PayloadKind::kLog: message.payload.resize(16); break;
  }
  if (rule.fds == FdRule::kOne || rule.fds == FdRule::kUnlessBit8) fds = 1;
  for (size_t i = 0; i < fds; ++i) message.fds.emplace_back(eventfd(0, EFD_CLOEXEC));
  return message;
}

RequestState everything_done() {
  RequestState state;
  state.protocol_features = kOfferedProtocolFeatures;
  state.has_features = true;
  state.has_memory = true;
  state.rings = 2;
  return state;
}

std::string line_of(const Status& status) { return status.is_ok() ? "" : status.error().line(); }

TEST(RequestsTest, NumbersAndNamesAreUnique) {
  std::set<uint32_t> numbers;
  std::set<std::string> names;
  for (const RequestRule& rule : all_requests()) {
    EXPECT_TRUE(numbers.insert(static_cast<uint32_t>(rule.request)).second) << rule.name;
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_EQ(find_request(static_cast<uint32_t>(rule.request)), &rule);
  }
}

TEST(RequestsTest, UnknownNumbersHaveNoRow) {
  for (const uint32_t number : {0u, 22u, 24u, 28u, 31u, 35u, 41u, 0xffffffffu}) {
    EXPECT_EQ(find_request(number), nullptr) << number;
  }
}

TEST(RequestsTest, EachAcceptsWhatItIsMadeFor) {
  for (const RequestRule& rule : all_requests()) {
    const Message message = message_of(rule);
    EXPECT_EQ(line_of(check_form(rule, message)), "") << rule.name;
    EXPECT_EQ(line_of(check_order(rule, message, everything_done())), "") << rule.name;
  }
}

TEST(RequestsTest, EachRefusesAnotherSizeAndNamesItself) {
  for (const RequestRule& rule : all_requests()) {
    Message longer = message_of(rule);
    longer.payload.push_back(0);
    EXPECT_NE(line_of(check_form(rule, longer)).find(rule.name), std::string::npos);
    Message shorter = message_of(rule);
    if (shorter.payload.empty()) continue;
    shorter.payload.pop_back();
    EXPECT_NE(line_of(check_form(rule, shorter)).find(rule.name), std::string::npos);
    shorter.payload.clear();
    EXPECT_FALSE(check_form(rule, shorter).is_ok()) << rule.name;
  }
}

TEST(RequestsTest, EachRefusesDescriptorsThatDoNotBelong) {
  for (const RequestRule& rule : all_requests()) {
    Message more = message_of(rule);
    more.fds.emplace_back(eventfd(0, EFD_CLOEXEC));
    const bool may_have_one = rule.fds == FdRule::kAtMostOne;
    EXPECT_EQ(check_form(rule, more).is_ok(), may_have_one) << rule.name;
    more.fds.emplace_back(eventfd(0, EFD_CLOEXEC));
    EXPECT_FALSE(check_form(rule, more).is_ok()) << rule.name;
    Message none = message_of(rule);
    none.fds.clear();
    const bool needs_some = rule.fds != FdRule::kNone && rule.fds != FdRule::kAtMostOne;
    EXPECT_EQ(check_form(rule, none).is_ok(), !needs_some) << rule.name;
  }
}

TEST(RequestsTest, RingFilesSayThatTheyHaveNone) {
  const RequestRule& rule = *find_request(static_cast<uint32_t>(Request::kSetVringCall));
  Message message = message_of(rule);
  message.payload[1] = 1;  // bit 8
  EXPECT_FALSE(check_form(rule, message).is_ok());
  message.fds.clear();
  EXPECT_EQ(line_of(check_form(rule, message)), "");
}

TEST(RequestsTest, MemoryTableHasOneToEightRegions) {
  const RequestRule& rule = *find_request(static_cast<uint32_t>(Request::kSetMemTable));
  for (const uint32_t count : {0u, 9u, 0xffffffffu, 0x08000000u}) {
    Message message;
    message.payload.resize(8 + (count == 9 ? 9 * 32 : 0));
    set_count(&message, count);
    EXPECT_FALSE(check_form(rule, message).is_ok()) << count;
  }
}

// CVE-2020-10723: the index of a ring was used as it came.
TEST(RequestsTest, RingsThatDoNotExistAreRefused) {
  for (const RequestRule& rule : all_requests()) {
    const bool names_ring = rule.payload == PayloadKind::kRingNumber || rule.payload == PayloadKind::kRingAddresses ||
                            rule.payload == PayloadKind::kRingFile;
    Message message = message_of(rule);
    if (!names_ring) continue;
    message.payload[0] = 1;
    EXPECT_TRUE(check_order(rule, message, everything_done()).is_ok()) << rule.name;
    message.payload[0] = 2;
    EXPECT_NE(line_of(check_order(rule, message, everything_done())).find("no ring 2"), std::string::npos) << rule.name;
    message.payload[0] = 0xff;
    if (rule.payload != PayloadKind::kRingFile) memset(message.payload.data(), 0xff, 4);
    EXPECT_FALSE(check_order(rule, message, everything_done()).is_ok()) << rule.name;
  }
}

TEST(RequestsTest, ExtensionsNeedTheirFeature) {
  RequestState state = everything_done();
  state.protocol_features = 0;
  for (const RequestRule& rule : all_requests()) {
    EXPECT_EQ(check_order(rule, message_of(rule), state).is_ok(), rule.protocol_feature == 0) << rule.name;
  }
}

TEST(RequestsTest, RingsStartAfterFeaturesAndMemory) {
  const RequestRule& kick = *find_request(static_cast<uint32_t>(Request::kSetVringKick));
  RequestState state = everything_done();
  state.has_features = false;
  EXPECT_NE(line_of(check_order(kick, message_of(kick), state)).find("SET_FEATURES"), std::string::npos);
  state = everything_done();
  state.has_memory = false;
  EXPECT_NE(line_of(check_order(kick, message_of(kick), state)).find("memory"), std::string::npos);
}

TEST(RequestsTest, SizeAndBaseOfARunningRingStay) {
  RequestState state = everything_done();
  state.set_started(0, true);
  for (const Request request : {Request::kSetVringNum, Request::kSetVringBase}) {
    const RequestRule& rule = *find_request(static_cast<uint32_t>(request));
    Message message = message_of(rule);
    EXPECT_NE(line_of(check_order(rule, message, state)).find("ring 0 is running"), std::string::npos);
    message.payload[0] = 1;
    EXPECT_TRUE(check_order(rule, message, state).is_ok());
  }
  state.set_started(0, false);
  const RequestRule& rule = *find_request(static_cast<uint32_t>(Request::kSetVringNum));
  EXPECT_TRUE(check_order(rule, message_of(rule), state).is_ok());
}

}  // namespace
}  // namespace tapferry
