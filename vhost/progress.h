// SPDX-License-Identifier: MIT
//
// What a burst of a sender or receiver came to, and telling the guest of it.
#pragma once

#include <sys/eventfd.h>

#include "vhost/counters.h"
#include "vhost/worker.h"

namespace tapferry {

enum class Progress {
  kMore,     // there may be more to do at once
  kIdle,     // nothing is there: of the tap when receiving, of the guest when sending
  kStarved,  // receiving: the guest lacks buffers
  kBlocked,  // sending: the tap has no room
  kStopped,  // the ring is broken, or the tap is gone
};

// Shows what was pushed, and signals if the guest wants that. The eventfd is non-blocking: one that is full has been signalled.
inline void publish(DeviceQueue& queue, QueueCounters& counters) {
  if (!queue.ring.publish() || !queue.call.is_open()) return;
  (void)eventfd_write(queue.call.get(), 1);
  counters.notifications.add(1);
}

}  // namespace tapferry
