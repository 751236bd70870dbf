// SPDX-License-Identifier: MIT
//
// The worker as it is: a thread with its engine, a receiver and a sender, in turns of one burst each.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <pthread.h>

#include "vhost/parking.h"
#include "vhost/receiver.h"
#include "vhost/sender.h"
#include "vhost/worker.h"

namespace tapferry {

class PairWorker final : public Worker {
 public:
  static Result<std::unique_ptr<Worker>> start(const WorkerOptions& options);
  ~PairWorker() override;
  PairWorker(const PairWorker&) = delete;
  PairWorker& operator=(const PairWorker&) = delete;

  void park() override;
  void resume() override;

  DeviceQueue& rx() override { return rx_; }
  DeviceQueue& tx() override { return tx_; }
  void set_rules(const FrameRules& rules) override { rules_ = rules; }
  void set_memory(const GuestMemory* memory, DirtyLog* log) override {
    memory_ = memory;
    log_ = log;
  }
  void forget_pending() override { receiver_->forget_waiting(); }
  Status send_to_tap(const void* frame, size_t bytes) override;

  const char* engine_name() const override { return engine_->name(); }
  const std::string& engine_reason() const override { return engine_reason_; }
  const PairCounters& counters() const override { return counters_; }
  bool has_trouble() const override { return has_trouble_.load(std::memory_order_acquire); }
  std::string take_trouble() override;

 private:
  using Clock = std::chrono::steady_clock;

  explicit PairWorker(const WorkerOptions& options) : options_(options) {}
  Status start_thread();
  static void* thread_main(void* worker);
  Status make_parts();

  void follow_use();

  // The thread's.
  void serve();
  void begin();
  void turn();
  unsigned receive();
  unsigned send();
  void look_at_memory();
  bool spins();
  bool arm();
  void sleep();
  void note(unsigned ready);
  void count_calls();
  void break_queue(DeviceQueue& queue, bool* is_live, unsigned index, int tap_error);
  void report(const std::string& text);

  WorkerOptions options_;
  FrameRules rules_;
  const GuestMemory* memory_ = nullptr;
  DirtyLog* log_ = nullptr;
  DeviceQueue rx_;
  DeviceQueue tx_;
  bool is_tap_in_use_ = true;  // frames come and go by this pair's queue of the tap
  PairCounters counters_;

  Fd control_;
  Parking parking_;
  std::optional<pthread_t> thread_;
  std::optional<Error> start_error_;
  std::unique_ptr<Engine> engine_;
  std::string engine_reason_;
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<Sender> sender_;

  // What the thread knows. Of a stream that doesn't pause nothing is told, so these are what can be true.
  bool is_receiving_ = false;    // the queue is started and enabled, and sound
  bool is_sending_ = false;      // the queue is started, and sound
  bool tap_has_frames_ = false;  // perhaps: until a read finds none
  bool has_buffers_ = false;     // perhaps: until the receiver finds none
  bool tap_has_room_ = true;     // until a write finds none
  std::optional<Clock::time_point> idle_since_;
  uint64_t calls_counted_ = 0;

  std::mutex trouble_mutex_;
  std::string trouble_;
  std::atomic<bool> has_trouble_ = false;
};

}  // namespace tapferry
