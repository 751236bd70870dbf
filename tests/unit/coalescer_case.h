// SPDX-License-Identifier: MIT
//
// Bursts for the coalescer, and what came out of it as a receiver sees it.
#pragma once

#include <array>
#include <cstring>
#include <vector>

#include "tests/lib/flow_frames.h"
#include "vhost/coalescer.h"

namespace tapferry {

inline constexpr MergeTypes kAll = {.tcp4 = true, .tcp6 = true, .udp = true};
inline const std::array<test::FlowFrame, 4> kKinds = {test::FlowFrame{}, test::FlowFrame{.is_v6 = true},
                                                      test::FlowFrame{.is_udp = true},
                                                      test::FlowFrame{.is_v6 = true, .is_udp = true}};

inline test::Bytes bytes_of(const FrameIo& frame) {
  test::Bytes bytes;
  for (unsigned i = 0; i < frame.piece_count; ++i) {
    const auto* begin = static_cast<const uint8_t*>(frame.pieces[i].iov_base);
    bytes.insert(bytes.end(), begin, begin + frame.pieces[i].iov_len);
  }
  return bytes;
}

// What a receiver gets of all these frames.
inline std::vector<test::Bytes> received(const std::vector<test::Bytes>& frames, size_t vnet_bytes = 12) {
  std::vector<test::Bytes> all;
  for (const test::Bytes& frame : frames) {
    for (test::Bytes& segment : test::receive(frame, vnet_bytes)) all.push_back(std::move(segment));
  }
  return all;
}

struct Merged {
  std::vector<FrameIo> out;
  std::vector<unsigned> covers;
  std::vector<test::Bytes> frames;  // out's bytes

  std::vector<test::Bytes> received(size_t vnet_bytes = 12) const { return tapferry::received(frames, vnet_bytes); }
};

// Frames in pieces, which end at `cuts`.
class Burst {
 public:
  explicit Burst(std::vector<test::Bytes> frames, const std::vector<size_t>& cuts = {})
      : frames_(std::move(frames)), pieces_(frames_.size()) {
    for (size_t i = 0; i < frames_.size(); ++i) {
      size_t begin = 0;
      for (const size_t cut : cuts) {
        pieces_[i].push_back({frames_[i].data() + begin, cut - begin});
        begin = cut;
      }
      pieces_[i].push_back({frames_[i].data() + begin, frames_[i].size() - begin});
      io_.push_back(
          {.pieces = pieces_[i].data(), .piece_count = static_cast<unsigned>(pieces_[i].size()), .result = 0});
    }
  }

  const std::vector<FrameIo>& io() const { return io_; }
  void overwrite(uint8_t value) {
    for (test::Bytes& frame : frames_) std::fill(frame.begin(), frame.end(), value);
  }

  Merged merge(Coalescer& coalescer) const {
    Merged merged;
    merged.out.resize(io_.size());
    std::vector<uint16_t> covers(io_.size());
    const unsigned count = coalescer.merge(io_, merged.out, covers);
    merged.out.resize(count);
    merged.covers.assign(covers.begin(), covers.begin() + count);
    for (const FrameIo& frame : merged.out) merged.frames.push_back(bytes_of(frame));
    return merged;
  }

 private:
  std::vector<test::Bytes> frames_;
  std::vector<std::vector<iovec>> pieces_;
  std::vector<FrameIo> io_;
};

inline Merged merge(Coalescer& coalescer, const std::vector<test::Bytes>& frames) {
  return Burst(frames).merge(coalescer);
}

}  // namespace tapferry
