// SPDX-License-Identifier: MIT
//
// Frames that a benchmark sends, as tests/bench/bench_frames.py has written them: for each a 32-bit length, the number of frames
// that it stands for (more than one when the kernel is to cut it up), and its bytes with a vnet header of 12.
#pragma once

#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <vector>

#include "base/syscall.h"
#include "tests/bench/arguments.h"

namespace tapferry::bench {

inline constexpr unsigned kHeaderBytes = 12;

struct Frame {
  std::string bytes;
  uint32_t stands_for = 1;
};

inline std::vector<Frame> load_frames(const std::string& path) {
  constexpr size_t kLimit = size_t{256} << 20;
  auto file = open_file(path, O_RDONLY);
  if (!file.is_ok()) Arguments::fail(path, "can't be opened");
  const auto content = read_all(file.value().get(), kLimit, path);
  if (!content.is_ok()) Arguments::fail(path, "can't be read");
  const std::string& all = content.value();
  std::vector<Frame> frames;
  for (size_t at = 0; at < all.size();) {
    uint32_t words[2] = {};
    if (all.size() - at < sizeof words) Arguments::fail(path, "is cut off");
    memcpy(words, all.data() + at, sizeof words);
    at += sizeof words;
    if (all.size() - at < words[0]) Arguments::fail(path, "is cut off");
    frames.push_back({all.substr(at, words[0]), words[1]});
    at += words[0];
  }
  if (frames.empty()) Arguments::fail(path, "has no frames");
  return frames;
}

}  // namespace tapferry::bench
