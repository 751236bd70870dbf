// SPDX-License-Identifier: MIT
//
// Messages as the kernel sends them, and what becomes of a parser that is given parts of one, or noise.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <libmnl/libmnl.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "net/rtnl.h"

namespace tapferry {

// A request builder makes the kernel's messages just as well.
inline nlmsghdr* as_message(RtnlRequest& message) {
  message.header()->nlmsg_flags = 0;
  return message.header();
}

// Gives `parse` the message cut short at every length, with its length field saying so; then with random bytes, attribute
// lengths included, in an allocation of exactly its size, so that a sanitizer sees a byte too far.
inline void parse_mangled(const nlmsghdr* message, const std::function<void(const nlmsghdr*)>& parse) {
  const auto parse_copy = [&](const std::vector<char>& bytes) {
    const auto exact = std::make_unique<char[]>(bytes.size());
    memcpy(exact.get(), bytes.data(), bytes.size());
    parse(reinterpret_cast<const nlmsghdr*>(exact.get()));
  };
  const auto* begin = reinterpret_cast<const char*>(message);
  const std::vector<char> whole(begin, begin + message->nlmsg_len);
  for (uint32_t length = sizeof(nlmsghdr); length <= whole.size(); ++length) {
    std::vector<char> cut(whole.begin(), whole.begin() + length);
    reinterpret_cast<nlmsghdr*>(cut.data())->nlmsg_len = length;
    parse_copy(cut);
  }
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> noisy = whole;
    for (int i = 0; i < 1 + round % 8; ++i) {
      noisy[sizeof(nlmsghdr) + random() % (noisy.size() - sizeof(nlmsghdr))] = static_cast<char>(random());
    }
    parse_copy(noisy);
  }
}

}  // namespace tapferry
