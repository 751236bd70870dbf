// SPDX-License-Identifier: MIT
//
// The traffic of the fast path's benchmarks: one thread, which is the guest, the host's other end, or both.
//
//   --socket=PATH                     a guest at that backend (tests/bench/load_guest.h)
//     --send=FILE --burst=16 [--in-flight=N]    sends, FILE's frames in all buffers, a burst shown at once
//     --features=NAMES --pairs=1 --ring=1024 --buffers=1024 --buffer-bytes=4096 [--own-header]
//   --kick-fd=N [--call-fd=N]         in its place: asks vhost_floor --do=serve to write, by a count of frames
//   --into=INTERFACE --packets=FILE   the host sends FILE's frames there
//   --rate=N                          frames a second, evenly, instead of as many as go
//   --round-trips                     one frame in flight: sends it, sleeps until one comes back; prints times
//
// Frames count when the backend has used them (sent) or when their buffers came back (received: --buffers-per-frame=1). Prints one
// line of JSON when its window (tests/bench/window.h) is over.
#include <algorithm>
#include <memory>
#include <optional>
#include <poll.h>

#include "tests/bench/arguments.h"
#include "tests/bench/frame_file.h"
#include "tests/bench/load_guest.h"
#include "tests/bench/packet_sender.h"
#include "tests/bench/window.h"

namespace tapferry::bench {
namespace {

// How many are due by now, at a rate.
class Pace {
 public:
  explicit Pace(uint64_t rate) : rate_(static_cast<double>(rate)), begin_(Clock::now()) {}
  bool is_set() const { return rate_ > 0; }
  unsigned due(Clock::time_point now) {
    // Not what a time of others left undone.
    constexpr double kBehindS = 0.002;
    auto by_now = static_cast<uint64_t>(seconds_between(begin_, now) * rate_);
    if (seconds_between(asked_, now) > kBehindS) given_ = by_now;
    asked_ = now;
    return static_cast<unsigned>(by_now - std::exchange(given_, by_now));
  }

 private:
  double rate_;
  Clock::time_point begin_, asked_;
  uint64_t given_ = 0;
};

struct Load {
  std::unique_ptr<LoadGuest> guest;
  std::unique_ptr<PacketSender> packets;
  int kick_fd = -1, call_fd = -1;
  unsigned burst = 16;
  uint64_t in_flight = UINT64_MAX;
  unsigned buffers_per_frame = 1;
  bool is_sending = false;
  uint64_t asked = 0;     // of a floor
  uint64_t injected = 0;  // frames that the host has sent

  uint64_t frames() const {
    if (!is_sending && guest == nullptr) return injected;
    if (guest == nullptr) return asked;
    uint64_t sum = 0;
    for (const SendQueue& queue : guest->send_queues()) sum += queue.done();
    for (const ReceiveQueue& queue : guest->receive_queues()) sum += queue.buffers() / buffers_per_frame;
    return sum;
  }
};

void kick(int fd, uint64_t count) { (void)!write(fd, &count, sizeof count); }

void send_paced(Load* load, unsigned count) {
  if (count == 0) return;
  if (load->kick_fd >= 0) {
    kick(load->kick_fd, count);
    load->asked += count;
  } else {
    load->guest->send_queues().front().send(count);
  }
}

void send_all_that_goes(Load* load) {
  for (SendQueue& queue : load->guest->send_queues()) {
    if (queue.in_flight() + load->burst <= load->in_flight) queue.send(load->burst);
  }
}

// One round of everything.
void step(Load* load, Pace* pace) {
  const unsigned due = pace->is_set() ? pace->due(Clock::now()) : 0;
  if (load->packets != nullptr) {
    for (unsigned i = 0; i < (pace->is_set() ? due : 1); ++i) load->injected += load->packets->send_one();
  }
  if (load->is_sending) pace->is_set() ? send_paced(load, due) : send_all_that_goes(load);
  if (load->guest == nullptr) return;
  for (SendQueue& queue : load->guest->send_queues()) queue.reap();
  // What the packet socket sent meanwhile is a few hundred at most.
  for (ReceiveQueue& queue : load->guest->receive_queues()) {
    while (queue.take(64) == 64) continue;
  }
}

void flow(Load* load, uint64_t rate, Window window) {
  Pace pace(rate);
  while (window.is_open(load->frames(), load->injected)) step(load, &pace);
  window.report();
}

void round_trip(Load* load) {
  constexpr int kPatienceMs = 1000;
  if (load->guest == nullptr) {
    kick(load->kick_fd, 1);
    pollfd waiting = {load->call_fd, POLLIN, 0};
    uint64_t count = 0;
    if (poll(&waiting, 1, kPatienceMs) != 1) Arguments::fail("round trip", "no answer");
    (void)!read(load->call_fd, &count, sizeof count);
    return;
  }
  SendQueue& out = load->guest->send_queues().front();
  ReceiveQueue& in = load->guest->receive_queues().front();
  out.reap();
  out.send(1);
  const auto begin = Clock::now();
  while (in.take(1) == 0) {
    in.wait(kPatienceMs);
    if (seconds_between(begin, Clock::now()) > 1) Arguments::fail("round trip", "no answer");
  }
}

double at_share(std::vector<double>* times, double share) {
  if (times->empty()) return 0;
  const auto place = times->begin() + static_cast<ptrdiff_t>(share * static_cast<double>(times->size() - 1));
  std::nth_element(times->begin(), place, times->end());
  return *place;
}

void round_trips(Load* load, Window window) {
  constexpr double kUs = 1e6;
  constexpr double kHalf = 0.5, kMost = 0.99;
  std::vector<std::vector<double>> runs;
  uint64_t count = 0;
  while (window.is_open(count)) {
    const auto begin = Clock::now();
    round_trip(load);
    ++count;
    const auto run = window.run();
    if (!run) continue;
    if (runs.size() <= *run) runs.resize(*run + 1);
    runs[*run].push_back(seconds_between(begin, Clock::now()) * kUs);
  }
  printf("{\"runs\": [");
  for (size_t i = 0; i < runs.size(); ++i) {
    printf("%s{\"p50_us\": %.3f, \"p99_us\": %.3f, \"round_trips\": %zu}", i == 0 ? "" : ", ",
           at_share(&runs[i], kHalf), at_share(&runs[i], kMost), runs[i].size());
  }
  printf("]}\n");
}

int run(Arguments arguments) {
  Load load;
  LoadShape shape;
  shape.pairs = static_cast<unsigned>(arguments.number("pairs", 1));
  shape.ring_size = static_cast<unsigned>(arguments.number("ring", 1024));
  shape.buffers = static_cast<unsigned>(arguments.number("buffers", 1024));
  shape.buffer_bytes = static_cast<unsigned>(arguments.number("buffer-bytes", 4096));
  shape.has_own_header = arguments.has("own-header");
  const std::string features = arguments.text("features", "version_1,event_idx,protocol_features");
  shape.features = features_of(features);
  const std::string socket = arguments.text("socket");
  const std::string file = arguments.text("send");
  const std::string into = arguments.text("into");
  const std::string packets = arguments.text("packets");
  load.kick_fd = arguments.fd("kick-fd");
  load.call_fd = arguments.fd("call-fd");
  load.burst = static_cast<unsigned>(arguments.number("burst", 16));
  load.in_flight = arguments.number("in-flight", UINT64_MAX);
  load.buffers_per_frame = static_cast<unsigned>(arguments.number("buffers-per-frame", 1));
  load.is_sending = !file.empty() || load.kick_fd >= 0;
  if (!socket.empty()) {
    load.guest = std::make_unique<LoadGuest>(socket, shape, file.empty() ? std::vector<Frame>{} : load_frames(file));
  }
  if (!into.empty()) load.packets = std::make_unique<PacketSender>(into, packets);
  const uint64_t rate = arguments.number("rate", 0);
  const bool is_one_by_one = arguments.has("round-trips");
  const Window window(&arguments);
  arguments.check_all_known();
  is_one_by_one ? round_trips(&load, window) : flow(&load, rate, window);
  return 0;
}

}  // namespace
}  // namespace tapferry::bench

int main(int argc, char* argv[]) { return tapferry::bench::run({argc, argv}); }
