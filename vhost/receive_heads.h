// SPDX-License-Identifier: MIT
//
// Heads: buffers of the guest's that were taken from its receive ring and wait to be filled, in available order.
#pragma once

#include <array>
#include <memory>

#include "vhost/virtqueue.h"

namespace tapferry {

class ReceiveHeads {
 public:
  // More than a 64 KiB frame takes of any buffers that make sense.
  static constexpr unsigned kMaxHeads = 1024;

  // Takes until `count` are held, or as many as there are. Returns how many are held. A chain with readable parts breaks the ring.
  // References to heads hold until the next call.
  unsigned fill(Virtqueue& ring, unsigned count);

  unsigned count() const { return count_; }
  // The head's pieces have room for one more behind the last.
  Chain& operator[](unsigned index) { return (*chains_)[first_ + index]; }

  // That a driver can't have any more buffers in the ring than those held.
  bool is_all(const Virtqueue& ring) const { return count_ == kMaxHeads || is_out_of_room_ || slots_ >= ring.size(); }

  // The oldest, which have been pushed.
  void drop_front(unsigned count);
  void give_back_all(Virtqueue& ring);

 private:
  static constexpr unsigned kRoom = kMaxChainPieces + 1;
  static constexpr unsigned kPieces = 4 * kRoom;
  using Chains = std::array<Chain, 2 * kMaxHeads>;
  using Pieces = std::array<iovec, kPieces>;

  void compact();

  unsigned first_ = 0;
  unsigned count_ = 0;
  unsigned slots_ = 0;  // of the ring, that the held ones take
  unsigned next_piece_ = 0;
  bool is_out_of_room_ = false;
  std::unique_ptr<Chains> chains_ = std::make_unique<Chains>();
  std::unique_ptr<Pieces> pieces_ = std::make_unique<Pieces>();
};

}  // namespace tapferry
