// SPDX-License-Identifier: MIT
//
// How a burst is gone through:
//   1. peek: two neighbours are looked at where they are, in guest memory: lengths, addresses, ports. Most pairs that can't be merged
//      are told apart by that, for the price of a cache line that the write would have fetched next.
//   2. A run begins: the first frame is copied to private memory, and only there read by the rules (vhost/merge_rules.h).
//   3. Each further frame's headers are copied to a scratch place, judged, and its data copied behind the data that is there.
//      One that is refused ends the run and is written as it is in guest memory.
//   4. A run of two or more gets its headers and is one piece of private memory. Of a run of one nothing is used.
// memcpy is cheaper than handing the kernel a vector of the pieces up to 1 KiB, and no dearer than the copy's own checksum above.
//
// A guest whose frames never merge shouldn't pay for the looking, so that pauses when it isn't worth it.
#include "vhost/coalescer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <sys/mman.h>

#include "vhost/merge_rules.h"

namespace tapferry {
namespace {

// Four of the largest frames; 64 frames of 1500 bytes take 97 KiB. Frames for which there is no room are written as they are.
constexpr size_t kArenaBytes = size_t{256} << 10;

// A merged frame saves 270 ns on a plain tap and 700 on a bridge; looking in vain costs up to 30. So a burst is worth the
// looking if one in sixteen of its frames was merged.
constexpr unsigned kWorthOneIn = 16;
// Two bursts not worth it may be chance: acknowledgements between data. Then 2, 4, ... 64 bursts are passed over before the next
// look: at 64 it costs less than 1 % of what it did, and a stream that begins waits for some 64 * 16 frames, about a millisecond.
constexpr unsigned kPatience = 2;
constexpr unsigned kLongestPause = 64;

// What peek looks at: addresses and ports, which follow each other in both families.
constexpr unsigned kIp4AddressesAt = 26;
constexpr unsigned kIp6AddressesAt = 22;
constexpr unsigned kIp4Key = 12;
constexpr unsigned kIp6Key = 36;
constexpr unsigned kTypeAt = 12;

// 16 bytes or more. The rest goes first, so that the lanes in which the rules compare headers are as they were stored last: a load
// out of two stores has to wait. (Of memcpy with less than 128 bytes gcc makes `rep movsq`, which takes 10 ns.)
void copy_in_lanes(uint8_t* to, const uint8_t* from, size_t bytes) {
  using Lanes = uint64_t __attribute__((vector_size(16)));
  Lanes lanes;
  memcpy(&lanes, from + bytes - sizeof lanes, sizeof lanes);
  memcpy(to + bytes - sizeof lanes, &lanes, sizeof lanes);
  for (size_t at = 0; at + sizeof lanes <= bytes; at += sizeof lanes) {
    memcpy(&lanes, from + at, sizeof lanes);
    memcpy(to + at, &lanes, sizeof lanes);
  }
}

constexpr unsigned kMaxVnetBytes = 16;

// A frame as it lies in guest memory.
struct Place {
  const uint8_t* frame = nullptr;  // null: not laid out so that its headers could be read
  uint32_t contiguous = 0;         // bytes at `frame`
  uint32_t frame_bytes = 0;        // in all
  const iovec* rest = nullptr;     // the pieces behind

  size_t readable() const { return std::min(contiguous, kMaxHeaderBytes); }
};

// The vnet header is a piece of its own, or the begin of the first.
Place locate(const FrameIo& frame, unsigned header_bytes) {
  Place place;
  const iovec& first = frame.pieces[0];
  if (first.iov_len > header_bytes) {
    place.frame = static_cast<const uint8_t*>(first.iov_base) + header_bytes;
    place.contiguous = static_cast<uint32_t>(first.iov_len) - header_bytes;
    place.rest = frame.pieces + 1;
  } else if (first.iov_len == header_bytes && frame.piece_count > 1) {
    place.frame = static_cast<const uint8_t*>(frame.pieces[1].iov_base);
    place.contiguous = static_cast<uint32_t>(frame.pieces[1].iov_len);
    place.rest = frame.pieces + 2;
  }
  if (place.contiguous < kIp4AddressesAt + kIp4Key) return {};
  place.frame_bytes = place.contiguous;
  for (const iovec* piece = place.rest; piece != frame.pieces + frame.piece_count; ++piece) {
    place.frame_bytes += static_cast<uint32_t>(piece->iov_len);
  }
  return place;
}

template <size_t Length>
bool same(const uint8_t* one, const uint8_t* other) {
  return memcmp(one, other, Length) == 0;
}

// A hint, no more: the guest can write there meanwhile.
bool may_be_neighbours(const Place& one, const Place& next) {
  if (one.frame == nullptr || next.frame == nullptr || next.frame_bytes > one.frame_bytes) return false;
  if (!same<2>(one.frame + kTypeAt, next.frame + kTypeAt)) return false;
  if (one.frame[kTypeAt] == 0x08) return same<kIp4Key>(one.frame + kIp4AddressesAt, next.frame + kIp4AddressesAt);
  return one.frame[kTypeAt] == 0x86 && std::min(one.contiguous, next.contiguous) >= kIp6AddressesAt + kIp6Key &&
         same<kIp6Key>(one.frame + kIp6AddressesAt, next.frame + kIp6AddressesAt);
}

// What is behind the first `skip` bytes, which are in the contiguous part.
void copy_data(uint8_t* to, const Place& place, unsigned skip) {
  const uint32_t here = place.contiguous - skip;
  memcpy(to, place.frame + skip, here);
  to += here;
  uint32_t left = place.frame_bytes - place.contiguous;
  for (const iovec* piece = place.rest; left > 0; ++piece) {
    memcpy(to, piece->iov_base, piece->iov_len);
    to += piece->iov_len;
    left -= static_cast<uint32_t>(piece->iov_len);
  }
}

}  // namespace

struct Coalescer::State {
  State(MergeTypes the_types, unsigned the_header_bytes);
  ~State();

  bool is_allowed(const Segment& segment) const;
  size_t room() const { return kArenaBytes - used; }
  // The vnet header and the frame's first `wanted` bytes, if it has so many, to `to`.
  void copy_headers(const FrameIo& frame, const Place& place, unsigned wanted, uint8_t* to) const;
  // The frames from `first` on that are one now, in private memory: `piece` says where. 1: nothing was merged.
  unsigned make_run(std::span<const FrameIo> frames, size_t first, iovec* piece);
  bool is_pausing();
  void judge(size_t frames, size_t merged);

  alignas(64) std::array<uint8_t, kMaxVnetBytes + kHeaderRoom> scratch;
  uint8_t* arena = nullptr;
  size_t used = 0;
  size_t touched = 0;
  std::array<Place, kMaxBurst> places;
  std::array<iovec, kMaxBurst / 2> pieces;
  const unsigned header_bytes;
  const MergeTypes types;

  unsigned dull_bursts = 0;
  unsigned pause = 0;           // bursts, of the last pause
  unsigned bursts_to_pass = 0;  // of this one
};

Coalescer::State::State(MergeTypes the_types, unsigned the_header_bytes)
    : header_bytes(the_header_bytes), types(the_types) {
  void* memory = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) arena = static_cast<uint8_t*>(memory);
}

Coalescer::State::~State() {
  if (arena != nullptr) munmap(arena, kArenaBytes);
}

bool Coalescer::State::is_allowed(const Segment& segment) const {
  if (segment.gso == kGsoTcp4) return types.tcp4;
  return segment.gso == kGsoTcp6 ? types.tcp6 : types.udp;
}

void Coalescer::State::copy_headers(const FrameIo& frame, const Place& place, unsigned wanted, uint8_t* to) const {
  const auto* vnet = static_cast<const uint8_t*>(frame.pieces[0].iov_base);
  if (header_bytes == 12) {
    memcpy(to, vnet, 12);
  } else {
    memcpy(to, vnet, header_bytes);
  }
  copy_in_lanes(to + header_bytes, place.frame, std::min(place.contiguous, wanted));
}

unsigned Coalescer::State::make_run(std::span<const FrameIo> frames, size_t first, iovec* piece) {
  const Place& first_place = places[first];
  if (room() < header_bytes + kHeaderRoom + first_place.frame_bytes) return 1;
  uint8_t* vnet = arena + used;
  uint8_t* headers = vnet + header_bytes;
  copy_headers(frames[first], first_place, kHeaderRoom, vnet);
  Segment segment;
  if (read_segment(vnet, headers, first_place.readable(), first_place.frame_bytes, &segment) != Refusal::kNone) {
    return 1;
  }
  MergeRun run(segment, headers);
  uint8_t* end = headers + segment.header_bytes;
  if (!is_allowed(segment) || run.is_ended()) return 1;
  copy_data(end, first_place, segment.header_bytes);
  if (!run.has_right_checksum(headers, segment, end)) return 1;
  end += segment.data_bytes;

  const unsigned next_header_bytes = (segment.header_bytes + 15u) & ~15u;
  const uint8_t* next_headers = scratch.data() + header_bytes;
  for (size_t next = first + 1; next < frames.size() && !run.is_ended(); ++next) {
    const Place& place = places[next];
    if (place.frame == nullptr) break;
    copy_headers(frames[next], place, next_header_bytes, scratch.data());
    if (run.judge(scratch.data(), next_headers, place.readable(), place.frame_bytes, &segment) != Refusal::kNone) break;
    if (static_cast<size_t>(end - arena) + segment.data_bytes > kArenaBytes) break;
    copy_data(end, place, segment.header_bytes);
    if (!run.has_right_checksum(next_headers, segment, end)) break;
    end += segment.data_bytes;
    run.take(segment);
  }
  if (run.frames() == 1) return 1;
  if (header_bytes > 10) memset(vnet + 10, 0, header_bytes - 10);
  run.finish(vnet);
  *piece = {vnet, header_bytes + run.frame_bytes()};
  used = std::min(kArenaBytes, (used + piece->iov_len + 63) / 64 * 64);
  return run.frames();
}

bool Coalescer::State::is_pausing() {
  if (bursts_to_pass == 0) return false;
  --bursts_to_pass;
  return true;
}

void Coalescer::State::judge(size_t frames, size_t merged) {
  touched = std::max(touched, used);
  if (merged * kWorthOneIn >= frames) {
    dull_bursts = 0;
    pause = 0;
    return;
  }
  if (++dull_bursts < kPatience) return;
  pause = std::min(std::max(2 * pause, 2u), kLongestPause);
  bursts_to_pass = pause;
  // This guest doesn't need the memory for now.
  if (pause == kLongestPause && touched > 0) {
    madvise(arena, kArenaBytes, MADV_DONTNEED);
    touched = 0;
  }
}

Coalescer::Coalescer(MergeTypes types, unsigned header_bytes) : state_(std::make_unique<State>(types, header_bytes)) {}
Coalescer::~Coalescer() = default;

unsigned Coalescer::merge(std::span<const FrameIo> frames, std::span<FrameIo> out, std::span<uint16_t> covers) {
  State& state = *state_;
  const bool looks = frames.size() > 1 && state.types.any() && state.arena != nullptr && !state.is_pausing();
  if (!looks) {
    std::copy(frames.begin(), frames.end(), out.begin());
    std::fill_n(covers.begin(), frames.size(), uint16_t{1});
    return static_cast<unsigned>(frames.size());
  }
  for (size_t i = 0; i < frames.size(); ++i) {
    state.places[i] = locate(frames[i], state.header_bytes);
    __builtin_prefetch(state.places[i].frame);
  }
  state.used = 0;
  unsigned written = 0;
  size_t merged = 0;
  unsigned runs = 0;
  for (size_t i = 0; i < frames.size();) {
    iovec* piece = &state.pieces[runs];
    unsigned covered = 1;
    if (i + 1 < frames.size() && may_be_neighbours(state.places[i], state.places[i + 1])) {
      covered = state.make_run(frames, i, piece);
    }
    if (covered > 1) {
      out[written] = FrameIo{.pieces = piece, .piece_count = 1, .result = 0};
      merged += covered;
      ++runs;
    } else {
      out[written] = frames[i];
    }
    covers[written] = static_cast<uint16_t>(covered);
    i += covered;
    ++written;
  }
  state.judge(frames.size(), merged);
  counters_.frames_merged += merged;
  counters_.frames_made += runs;
  return written;
}

}  // namespace tapferry
