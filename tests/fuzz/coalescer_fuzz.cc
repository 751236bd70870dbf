// SPDX-License-Identifier: MIT
//
// Bursts of frames, of which the input says how they differ from those that follow each other in their flow. What a receiver gets is
// the same with the coalescer as without, and what isn't merged isn't touched.
//
// The first byte: the vnet header's length (its lowest bit) and the types that the tap takes (the next three; none: all). Then for each frame
//   one byte: kind (2 bits), NEEDS_CSUM, PSH, IPv4's DF off, the ID stays, patches follow, the burst ends with it;
//   one byte: bytes of data (above 200: 60 times so many);
//   one byte: where it is cut into pieces, from the frame's begin (0: nowhere; above 200: the header is one of its own);
//   with patches: their number (2 bits; the highest bit: IPv4's checksum is made right afterwards), and for each an offset and
//   what is added to the byte there.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "tests/unit/coalescer_case.h"

namespace {

using namespace tapferry;
using test::Bytes;
using test::FlowFrame;

void require(bool holds) {
  if (!holds) abort();
}

class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : rest_(bytes) {}
  bool is_empty() const { return rest_.empty(); }
  unsigned byte() {
    if (rest_.empty()) return 0;
    const unsigned value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }

 private:
  std::span<const uint8_t> rest_;
};

struct Frame {
  Bytes bytes;
  size_t cut = 0;
};

void patch(Input* input, Bytes* bytes) {
  const unsigned how = input->byte();
  for (unsigned i = 0; i <= how % 4; ++i) {
    const size_t at = input->byte();
    bytes->at(at % bytes->size()) += static_cast<uint8_t>(input->byte());
  }
  if ((how & 0x80) == 0) return;
  const std::span<uint8_t> ip = std::span(*bytes).subspan(26, 20);
  test::put16(ip, 10, 0);
  test::put16(ip, 10, 0xffff - test::slow_sum(ip));
}

// The next frame of a flow: `next` remembers where each kind's flow is.
Frame read_frame(Input* input, std::array<FlowFrame, 4>* next, size_t vnet_bytes, bool* ends) {
  const unsigned how = input->byte();
  *ends = (how & 0x80) != 0;
  FlowFrame& flow = (*next)[how % 4];
  const unsigned length = input->byte();
  flow.data_bytes = length > 200 ? length * 60 : length;
  flow.needs_checksum = (how & 4) != 0;
  flow.flags = (how & 8) != 0 ? 0x18 : 0x10;
  flow.fragment = (how & 16) != 0 ? 0 : 0x4000;
  Frame frame{test::flow_frame(flow)};
  flow.sequence += flow.data_bytes;
  if ((how & 32) == 0) ++flow.id;
  ++flow.data_seed;
  const unsigned cut = input->byte();
  if ((how & 64) != 0) patch(input, &frame.bytes);
  if (vnet_bytes == 10) frame.bytes.erase(frame.bytes.begin() + 10, frame.bytes.begin() + 12);
  frame.cut = cut == 0 ? 0 : std::min(vnet_bytes + (cut > 200 ? 0 : cut), frame.bytes.size() - 1);
  return frame;
}

// What may differ: a fixed ID of frames that can't be fragmented becomes one that counts, with the header's checksum; a TCP checksum left to
// the receiver is 0 where skb_checksum_help() makes it 0xffff.
Bytes without_exceptions(Bytes frame, bool has_fixed_id, bool needs_checksum) {
  if (has_fixed_id) test::fill_in_ip4(&frame, 0);
  const size_t transport = test::get16(frame, 12) == 0x0800 ? 34 : 54;
  const bool is_tcp = frame[transport == 34 ? 23 : 20] == 6;
  if (is_tcp && needs_checksum && test::get16(frame, transport + 16) == 0xffff) {
    test::put16(frame, transport + 16, 0);
  }
  return frame;
}

bool is_right_ip4(const Bytes& frame) {
  return test::get16(frame, 12) != 0x0800 || test::slow_sum(std::span(frame).subspan(14, 20)) == 0xffff;
}

void check_merged(const Bytes& merged, std::span<const Frame> frames, size_t vnet_bytes) {
  const std::vector<Bytes> received = test::receive(merged, vnet_bytes);
  require(received.size() == frames.size());
  const auto id_of = [&](const Bytes& bytes) { return test::get16(bytes, vnet_bytes + 18); };
  const Bytes& first = frames[0].bytes;
  const bool is_v4 = test::get16(first, vnet_bytes + 12) == 0x0800;
  const bool has_fixed_id = is_v4 && (first[vnet_bytes + 20] & 0x40) != 0 && id_of(first) == id_of(frames[1].bytes);
  for (size_t i = 0; i < frames.size(); ++i) {
    const bool needs_checksum = frames[i].bytes[0] != 0;
    const Bytes alone = test::receive(frames[i].bytes, vnet_bytes).at(0);
    require(is_right_ip4(received[i]) && is_right_ip4(alone));
    if (has_fixed_id) require(id_of(frames[i].bytes) == id_of(first));
    require(without_exceptions(received[i], has_fixed_id, needs_checksum) ==
            without_exceptions(alone, has_fixed_id, needs_checksum));
  }
}

void check_burst(Coalescer& coalescer, std::span<Frame> frames, size_t vnet_bytes) {
  std::vector<std::array<iovec, 2>> pieces(frames.size());
  std::vector<FrameIo> in(frames.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    Bytes& bytes = frames[i].bytes;
    const size_t cut = frames[i].cut;
    pieces[i] = {iovec{bytes.data(), cut == 0 ? bytes.size() : cut}, iovec{bytes.data() + cut, bytes.size() - cut}};
    in[i] = {.pieces = pieces[i].data(), .piece_count = cut == 0 ? 1u : 2u, .result = 0};
  }
  std::vector<FrameIo> out(frames.size());
  std::vector<uint16_t> covers(frames.size());
  const unsigned count = coalescer.merge(in, out, covers);
  size_t at = 0;
  for (unsigned i = 0; i < count; ++i) {
    require(covers[i] >= 1 && at + covers[i] <= frames.size());
    if (covers[i] == 1) {
      require(out[i].pieces == in[at].pieces && out[i].piece_count == in[at].piece_count);
    } else {
      check_merged(bytes_of(out[i]), frames.subspan(at, covers[i]), vnet_bytes);
    }
    at += covers[i];
  }
  require(at == frames.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input({data, size});
  const unsigned setting = input.byte();
  const size_t vnet_bytes = (setting & 1) != 0 ? 10 : 12;
  MergeTypes types = {.tcp4 = (setting & 2) != 0, .tcp6 = (setting & 4) != 0, .udp = (setting & 8) != 0};
  if (!types.any()) types = kAll;
  Coalescer coalescer(types, static_cast<unsigned>(vnet_bytes));
  std::array<FlowFrame, 4> next = kKinds;
  while (!input.is_empty()) {
    std::vector<Frame> frames;
    for (bool ends = false; !ends && !input.is_empty() && frames.size() < kMaxBurst;) {
      frames.push_back(read_frame(&input, &next, vnet_bytes, &ends));
    }
    check_burst(coalescer, frames, vnet_bytes);
  }
  return 0;
}
