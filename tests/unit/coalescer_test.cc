// SPDX-License-Identifier: MIT
#include "vhost/coalescer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "tests/unit/coalescer_case.h"

namespace tapferry {
namespace {

using test::Bytes;
using test::flow;
using test::flow_frame;
using test::FlowFrame;

TEST(Coalescer, MakesOneFrameOfAFlow) {
  for (const FlowFrame& kind : kKinds) {
    Coalescer coalescer(kAll, 12);
    const std::vector<Bytes> frames = flow(kind, 16);
    const Merged merged = merge(coalescer, frames);
    ASSERT_EQ(merged.frames.size(), 1u);
    EXPECT_EQ(merged.covers, std::vector<unsigned>{16});
    EXPECT_EQ(merged.received(), received(frames));
    EXPECT_EQ(coalescer.counters().frames_merged, 16u);
    EXPECT_EQ(coalescer.counters().frames_made, 1u);
  }
}

TEST(Coalescer, LeavesWhatDoesNotMergeWhereItIs) {
  Coalescer coalescer(kAll, 12);
  FlowFrame other = kKinds[0];
  other.port = 5;
  Burst burst({flow_frame(kKinds[0]), flow_frame(other), flow_frame(kKinds[1]), flow_frame(kKinds[2])});
  const Merged merged = burst.merge(coalescer);
  EXPECT_EQ(merged.covers, std::vector<unsigned>(4, 1));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(merged.out[i].pieces, burst.io()[i].pieces);
  EXPECT_EQ(coalescer.counters().frames_merged, 0u);
}

TEST(Coalescer, KeepsTheOrderAcrossFlows) {
  Coalescer coalescer(kAll, 12);
  std::vector<Bytes> frames = flow(kKinds[0], 3);
  const std::vector<Bytes> others = flow(kKinds[3], 2);
  frames.insert(frames.end(), others.begin(), others.end());
  FlowFrame again = kKinds[0];
  again.sequence += 3 * 64;
  again.id += 3;
  for (const Bytes& frame : flow(again, 2)) frames.push_back(frame);
  const Merged merged = merge(coalescer, frames);
  EXPECT_EQ(merged.covers, (std::vector<unsigned>{3, 2, 2}));
  EXPECT_EQ(merged.received(), received(frames));
}

TEST(Coalescer, FrameThatIsRefusedIsWrittenInItsPlace) {
  Coalescer coalescer(kAll, 12);
  std::vector<Bytes> frames = flow(kKinds[0], 6);
  frames[2].back() ^= 1;
  const Merged merged = merge(coalescer, frames);
  EXPECT_EQ(merged.covers, (std::vector<unsigned>{2, 1, 3}));
  EXPECT_EQ(merged.frames[1], frames[2]) << "with its wrong checksum";
  EXPECT_EQ(merged.received(), received(frames));
}

TEST(Coalescer, ShorterLastFrameAndPushEndARun) {
  for (const FlowFrame& kind : kKinds) {
    Coalescer coalescer(kAll, 12);
    std::vector<Bytes> frames = flow(kind, 3);
    FlowFrame last = kind;
    last.sequence += 3 * 64;
    last.id += 3;
    last.data_bytes = 1;
    last.flags = 0x18;
    frames.push_back(flow_frame(last));
    last.sequence += 1;
    last.id += 1;
    frames.push_back(flow_frame(last));
    const Merged merged = merge(coalescer, frames);
    EXPECT_EQ(merged.covers.at(0), 4u);
    EXPECT_EQ(merged.received(), received(frames));
  }
}

TEST(Coalescer, TakesFramesInAnyPieces) {
  for (const FlowFrame& kind : kKinds) {
    const std::vector<Bytes> frames = flow(kind, 5);
    for (const std::vector<size_t>& cuts : std::vector<std::vector<size_t>>{{12},
                                                                            {100},
                                                                            {12, 100},
                                                                            {12, 100, 101},
                                                                            {frames[0].size() - 20},
                                                                            {frames[0].size() - 1},
                                                                            {12, frames[0].size() - 1}}) {
      Coalescer coalescer(kAll, 12);
      Burst burst(frames, cuts);
      const Merged merged = burst.merge(coalescer);
      EXPECT_EQ(merged.covers, std::vector<unsigned>{5}) << cuts[0];
      EXPECT_EQ(merged.received(), received(frames));
    }
  }
}

TEST(Coalescer, LeavesFramesWhoseHeadersAreInPieces) {
  const std::vector<Bytes> frames = flow(kKinds[1], 4);
  for (const std::vector<size_t>& cuts :
       std::vector<std::vector<size_t>>{{5}, {12, 20}, {12, 60}, {12, 85}, {11, 12}, {20}, {85}}) {
    Coalescer coalescer(kAll, 12);
    Burst burst(frames, cuts);
    const Merged merged = burst.merge(coalescer);
    EXPECT_EQ(merged.covers, std::vector<unsigned>(4, 1)) << cuts[0];
    EXPECT_EQ(merged.received(), received(frames));
  }
}

TEST(Coalescer, TakesVnetHeadersOf10Bytes) {
  Coalescer coalescer(kAll, 10);
  std::vector<Bytes> frames = flow(kKinds[0], 4);
  for (Bytes& frame : frames) frame.erase(frame.begin() + 10, frame.begin() + 12);
  const Merged merged = merge(coalescer, frames);
  EXPECT_EQ(merged.covers, std::vector<unsigned>{4});
  EXPECT_EQ(merged.received(10), received(frames, 10));
}

TEST(Coalescer, LeavesNothingOfTheBufferCountInTheHeader) {
  Coalescer coalescer(kAll, 12);
  std::vector<Bytes> frames = flow(kKinds[0], 2);
  frames[0][10] = 7;
  EXPECT_EQ(merge(coalescer, frames).frames.at(0)[10], 0);
}

TEST(Coalescer, MergesOnlyWhatTheTapTakes) {
  const std::array<MergeTypes, 4> types = {MergeTypes{.tcp4 = true}, MergeTypes{.tcp6 = true}, MergeTypes{.udp = true},
                                           MergeTypes{}};
  for (size_t which = 0; which < types.size(); ++which) {
    for (size_t kind = 0; kind < kKinds.size(); ++kind) {
      Coalescer coalescer(types[which], 12);
      const bool merges = which == 0 ? kind == 0 : which == 1 ? kind == 1 : which == 2 && kind > 1;
      EXPECT_EQ(merge(coalescer, flow(kKinds[kind], 3)).covers.size(), merges ? 1u : 3u) << which << kind;
    }
  }
}

TEST(Coalescer, RunsAsLongAsGsoAllows) {
  for (const FlowFrame& kind : kKinds) {
    FlowFrame large = kind;
    large.data_bytes = 9000;
    Coalescer coalescer(kAll, 12);
    const std::vector<Bytes> frames = flow(large, 17);
    const Merged merged = merge(coalescer, frames);
    EXPECT_EQ(merged.covers, (std::vector<unsigned>{7, 7, 3}));
    EXPECT_EQ(merged.received(), received(frames));
  }
}

TEST(Coalescer, MemoryFullMeansUnmerged) {
  FlowFrame large = kKinds[2];
  large.data_bytes = 20000;
  Coalescer coalescer(kAll, 12);
  const std::vector<Bytes> frames = flow(large, 32);
  const Merged merged = merge(coalescer, frames);
  // Four times three frames of 20 kB are in 256 KiB, and one more.
  ASSERT_GT(merged.covers.size(), 12u);
  EXPECT_EQ(merged.covers.at(0), 3u);
  EXPECT_EQ(merged.covers.back(), 1u);
  EXPECT_EQ(merged.received(), received(frames));
}

TEST(Coalescer, ManyRunsInOneBurst) {
  Coalescer coalescer(kAll, 12);
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < 32; ++i) {
    FlowFrame kind = kKinds[i % 4];
    kind.port += i;
    kind.needs_checksum = i % 3 == 0;
    for (const Bytes& frame : flow(kind, 2)) frames.push_back(frame);
  }
  const Merged merged = merge(coalescer, frames);
  EXPECT_EQ(merged.covers, std::vector<unsigned>(32, 2));
  EXPECT_EQ(merged.received(), received(frames));
}

TEST(Coalescer, SingleFramesPassThrough) {
  Coalescer coalescer(kAll, 12);
  const std::vector<Bytes> frames = flow(kKinds[0], 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(merge(coalescer, frames).covers, std::vector<unsigned>{1});
  EXPECT_EQ(merge(coalescer, flow(kKinds[0], 2)).covers, std::vector<unsigned>{2}) << "and they don't tire it";
}

// Bursts of frames that don't merge; then of one flow, counted until they are merged.
unsigned bursts_passed_over(Coalescer& coalescer, unsigned dull_bursts) {
  FlowFrame other = kKinds[0];
  other.port = 5;
  const std::vector<Bytes> dull = {flow_frame(kKinds[0]), flow_frame(other)};
  for (unsigned i = 0; i < dull_bursts; ++i) merge(coalescer, dull);
  unsigned passed = 0;
  while (merge(coalescer, flow(kKinds[0], 2)).covers.size() != 1 && passed < 1000) ++passed;
  return passed;
}

TEST(Coalescer, LooksLessOftenWhereNothingMerges) {
  Coalescer fresh(kAll, 12);
  EXPECT_EQ(bursts_passed_over(fresh, 1), 0u);
  Coalescer soon(kAll, 12);
  EXPECT_EQ(bursts_passed_over(soon, 2), 2u);
  EXPECT_EQ(bursts_passed_over(soon, 2), 2u) << "one that merged makes up for all before";
  Coalescer late(kAll, 12);
  unsigned longest = 0;
  for (unsigned dull = 400; dull < 470; ++dull) {
    Coalescer tired(kAll, 12);
    longest = std::max(longest, bursts_passed_over(tired, dull));
  }
  EXPECT_EQ(longest, 64u) << "and never stops looking";
}

TEST(Coalescer, FewMergedFramesAmongManyAreNotWorthTheLooking) {
  const auto burst = [](unsigned merged) {
    std::vector<Bytes> frames = flow(kKinds[2], merged);
    FlowFrame other = kKinds[0];
    while (frames.size() < 64) {
      other.port++;
      frames.push_back(flow_frame(other));
    }
    return frames;
  };
  Coalescer worth(kAll, 12);
  Coalescer not_worth(kAll, 12);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(merge(worth, burst(4)).covers.size(), 61u);
    merge(not_worth, burst(3));
  }
  EXPECT_LT(not_worth.counters().frames_made, 10u);
}

TEST(Coalescer, WhatTheGuestChangesMeanwhileStaysTheGuests) {
  // The private frame is what was judged, whatever is done to the guest's bytes afterwards.
  Coalescer coalescer(kAll, 12);
  const std::vector<Bytes> frames = flow(kKinds[0], 4);
  Burst burst(frames);
  const Merged merged = burst.merge(coalescer);
  burst.overwrite(0xee);
  ASSERT_EQ(merged.covers, std::vector<unsigned>{4});
  EXPECT_EQ(bytes_of(merged.out[0]), merged.frames[0]);
}

TEST(Coalescer, ReadsNothingBehindAFrame) {
  // Each frame ends where the next page can't be read.
  const size_t page = 4096;
  for (const FlowFrame& kind : kKinds) {
    for (const unsigned data_bytes : {1u, 7u, 40u, 64u, 75u, 200u}) {
      FlowFrame asked = kind;
      asked.data_bytes = data_bytes;
      const std::vector<Bytes> frames = flow(asked, 2);
      auto* memory =
          static_cast<uint8_t*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      ASSERT_NE(memory, MAP_FAILED);
      std::array<iovec, 2> pieces;
      std::array<FrameIo, 2> in;
      for (size_t i = 0; i < 2; ++i) {
        uint8_t* end = memory + (2 * i + 1) * page;
        ASSERT_EQ(mprotect(end, page, PROT_NONE), 0);
        memcpy(end - frames[i].size(), frames[i].data(), frames[i].size());
        pieces[i] = {end - frames[i].size(), frames[i].size()};
        in[i] = {.pieces = &pieces[i], .piece_count = 1, .result = 0};
      }
      Coalescer coalescer(kAll, 12);
      std::array<FrameIo, 2> out;
      std::array<uint16_t, 2> covers;
      EXPECT_EQ(coalescer.merge(in, out, covers), 1u);
      munmap(memory, 4 * page);
    }
  }
}

}  // namespace
}  // namespace tapferry
