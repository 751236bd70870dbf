// SPDX-License-Identifier: MIT
//
// What a tap costs by itself: the fast path's figures are held against this. One thread that cycles the same buffers in order, one
// contiguous buffer a frame, in memory of the kind that a guest's is (a shared memfd); no virtqueue.
//
//   vhost_floor --tap-fd=N --frames=FILE --do=write [--own-header]       write(2), or writev(2) of header and frame
//   vhost_floor --tap-fd=N --do=read [--piece-bytes=N]                   read(2), or readv(2) of so large pieces; poll(2) only when
//                                                                        nothing is there
//   vhost_floor --tap-fd=N --frames=FILE --do=serve --kick-fd=N [--call-fd=N]
//       an epoll loop: as many write(2) as the kicks' count says, read(2) until nothing is there, and then a call
//   vhost_floor --tap-fd=N --frames=FILE --do=engine-write|engine-read --engine=auto|uring|plain --burst=N
//       the product's engines by themselves: what goes through the ring from what burst on is `auto`'s choice
//
// --buffers=1024 --buffer-bytes=4096; window and cores: tests/bench/window.h. Prints one line of JSON when its window is over.
#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/arguments.h"
#include "tests/bench/frame_file.h"
#include "tests/bench/window.h"
#include "vhost/engine.h"

namespace tapferry::bench {
namespace {

constexpr unsigned kLook = 64;  // frames between two looks at the clock

struct Floor {
  int tap_fd = -1;
  uint8_t* memory = nullptr;
  unsigned buffers = 0;
  size_t buffer_bytes = 0;
  std::vector<size_t> lengths;  // of the frame in each buffer
  std::vector<iovec> pieces;    // of one buffer, when it is read in pieces
  unsigned next = 0;
  uint64_t frames = 0;
  uint64_t calls = 0;

  uint8_t* buffer(unsigned index) const { return memory + index * buffer_bytes; }
  unsigned take() {
    const unsigned index = next;
    if (++next == buffers) next = 0;
    return index;
  }
};

void make_memory(Floor* floor) {
  const size_t size = floor->buffers * floor->buffer_bytes;
  const Fd file(memfd_create("floor", MFD_CLOEXEC));
  if (!file.is_open() || ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    Arguments::fail("memory", "can't be made");
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) Arguments::fail("memory", "can't be mapped");
  floor->memory = static_cast<uint8_t*>(mapped);
  memset(floor->memory, 0, size);
}

void lay_out(Floor* floor, const std::vector<Frame>& frames) {
  for (unsigned i = 0; i < floor->buffers; ++i) {
    const std::string& bytes = frames[i % frames.size()].bytes;
    if (bytes.size() > floor->buffer_bytes) Arguments::fail("--buffer-bytes", "less than a frame");
    memcpy(floor->buffer(i), bytes.data(), bytes.size());
    floor->lengths.push_back(bytes.size());
  }
}

void write_one(Floor* floor) {
  const unsigned index = floor->take();
  if (write(floor->tap_fd, floor->buffer(index), floor->lengths[index]) > 0) ++floor->frames;
}

void writev_one(Floor* floor) {
  const unsigned index = floor->take();
  uint8_t* at = floor->buffer(index);
  const std::array<iovec, 2> pieces = {{{at, kHeaderBytes}, {at + kHeaderBytes, floor->lengths[index] - kHeaderBytes}}};
  if (writev(floor->tap_fd, pieces.data(), pieces.size()) > 0) ++floor->frames;
}

void write_loop(Floor* floor, Window* window, bool has_own_header) {
  while (window->is_open(floor->frames)) {
    if (has_own_header) {
      for (unsigned i = 0; i < kLook; ++i) writev_one(floor);
    } else {
      for (unsigned i = 0; i < kLook; ++i) write_one(floor);
    }
  }
}

ssize_t read_pieces(Floor* floor) {
  uint8_t* at = floor->buffer(floor->next);
  for (iovec& piece : floor->pieces) {
    piece.iov_base = at;
    at += piece.iov_len;
  }
  return readv(floor->tap_fd, floor->pieces.data(), static_cast<int>(floor->pieces.size()));
}

// False when nothing was there.
bool read_one(Floor* floor) {
  const ssize_t done =
      floor->pieces.empty() ? read(floor->tap_fd, floor->buffer(floor->next), floor->buffer_bytes) : read_pieces(floor);
  if (done <= 0) return false;
  floor->take();
  ++floor->frames;
  return true;
}

void read_loop(Floor* floor, Window* window) {
  constexpr int kLookMs = 10;
  pollfd waiting = {floor->tap_fd, POLLIN, 0};
  while (window->is_open(floor->frames, floor->calls)) {
    for (unsigned i = 0; i < kLook; ++i) {
      if (read_one(floor)) continue;
      ++floor->calls;
      poll(&waiting, 1, kLookMs);
    }
  }
}

void watch(int set, int fd) {
  epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
  if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) Arguments::fail("epoll_ctl", strerror(errno));
}

void serve(Floor* floor, Window* window, int kick_fd, int call_fd) {
  constexpr int kLookMs = 10;
  const uint64_t one = 1;
  const Fd set(epoll_create1(EPOLL_CLOEXEC));
  watch(set.get(), floor->tap_fd);
  if (kick_fd >= 0) watch(set.get(), kick_fd);
  std::array<epoll_event, 4> events = {};
  while (window->is_open(floor->frames, floor->calls)) {
    const int count = epoll_wait(set.get(), events.data(), events.size(), kLookMs);
    ++floor->calls;
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.fd == kick_fd) {
        uint64_t asked = 0;
        if (read(kick_fd, &asked, sizeof asked) != sizeof asked) continue;
        // More than a ring would hold is lost, as a guest's own queue would lose it.
        for (asked = std::min<uint64_t>(asked, floor->buffers); asked != 0; --asked) write_one(floor);
      } else {
        bool is_any = false;
        while (read_one(floor)) is_any = true;
        if (is_any && call_fd >= 0) (void)!write(call_fd, &one, sizeof one);
      }
    }
  }
}

std::unique_ptr<Engine> make_chosen(const Floor& floor, const std::string& choice) {
  EngineOptions options;
  options.tap_fd = floor.tap_fd;
  options.control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  options.kind = choice == "plain" ? EngineKind::kEpoll : EngineKind::kUring;
  if (choice == "uring") options.min_ring_burst = 1;
  std::string reason;
  auto engine = make_engine(options, &reason);
  if (!engine.is_ok()) Arguments::fail("--engine", engine.error().line());
  return std::move(engine).value();
}

void engine_loop(Floor* floor, Window* window, const std::string& choice, unsigned burst, bool is_read) {
  constexpr int kLookUs = 10000;
  const auto engine = make_chosen(*floor, choice);
  std::array<FrameIo, kMaxBurst> frames = {};
  std::array<iovec, kMaxBurst> pieces = {};
  if (burst == 0 || burst > kMaxBurst) Arguments::fail("--burst", "not 1 to 64");
  while (window->is_open(floor->frames, engine->system_calls())) {
    for (unsigned done = 0; done < kLook; done += burst) {
      for (unsigned i = 0; i < burst; ++i) {
        const unsigned index = floor->take();
        pieces[i] = {floor->buffer(index), is_read ? floor->buffer_bytes : floor->lengths[index]};
        frames[i] = {.pieces = &pieces[i], .piece_count = 1, .result = 0};
      }
      const std::span<FrameIo> all(frames.data(), burst);
      is_read ? engine->read(all) : engine->write(all);
      bool is_empty = false;
      for (const FrameIo& frame : all) {
        floor->frames += frame.result > 0 ? 1 : 0;
        is_empty = is_empty || frame.result == -EAGAIN;
      }
      if (is_empty) engine->wait(kLookUs);
    }
  }
}

int run(Arguments arguments) {
  Floor floor;
  floor.tap_fd = arguments.fd("tap-fd");
  floor.buffers = static_cast<unsigned>(arguments.number("buffers", 1024));
  floor.buffer_bytes = arguments.number("buffer-bytes", 4096);
  const std::string what = arguments.text("do");
  const std::string file = arguments.text("frames");
  const std::string choice = arguments.text("engine", "auto");
  const auto burst = static_cast<unsigned>(arguments.number("burst", kMaxBurst));
  const bool has_own_header = arguments.has("own-header");
  if (const size_t piece = arguments.number("piece-bytes", 0); piece != 0) {
    floor.pieces.resize(floor.buffer_bytes / piece, {nullptr, piece});
  }
  const int kick_fd = arguments.fd("kick-fd");
  const int call_fd = arguments.fd("call-fd");
  if (floor.tap_fd < 0 || floor.buffers == 0 || (file.empty() && !what.ends_with("read")))
    Arguments::fail("usage", "--tap-fd=N --frames=FILE --do=...");
  make_memory(&floor);
  if (!file.empty()) lay_out(&floor, load_frames(file));
  if (auto set = set_nonblocking(floor.tap_fd, true); !set.is_ok()) Arguments::fail("--tap-fd", set.error().line());

  Window window(&arguments);
  arguments.check_all_known();
  if (what == "write") write_loop(&floor, &window, has_own_header);
  else if (what == "read")
    read_loop(&floor, &window);
  else if (what == "serve")
    serve(&floor, &window, kick_fd, call_fd);
  else if (what == "engine-write" || what == "engine-read")
    engine_loop(&floor, &window, choice, burst, what == "engine-read");
  else
    Arguments::fail("--do", "unknown");
  window.report();
  return 0;
}

}  // namespace
}  // namespace tapferry::bench

int main(int argc, char* argv[]) { return tapferry::bench::run({argc, argv}); }
