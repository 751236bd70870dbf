// SPDX-License-Identifier: MIT
#include "vhost/receive_heads.h"

#include <algorithm>

namespace tapferry {

unsigned ReceiveHeads::fill(Virtqueue& ring, unsigned count) {
  count = std::min(count, kMaxHeads);
  is_out_of_room_ = false;
  while (count_ < count) {
    if (kPieces - next_piece_ < kRoom || first_ + count_ == chains_->size()) [[unlikely]] {
      compact();
      is_out_of_room_ = kPieces - next_piece_ < kRoom;
      if (is_out_of_room_) break;
    }
    Chain& chain = (*chains_)[first_ + count_];
    if (ring.take(&chain, &(*pieces_)[next_piece_], kMaxChainPieces) != Take::kTaken) break;
    if (chain.readable_pieces != 0) [[unlikely]] {
      ring.give_back(chain);
      ring.set_fault({.rule = RingFault::Rule::kWriteOnlyExpected, .descriptor = chain.id});
      break;
    }
    next_piece_ += chain.writable_pieces + 1u;
    slots_ += chain.slots;
    ++count_;
  }
  return count_;
}

// Moves what is held to the arrays' begin. Rarely, since they have room for many bursts.
void ReceiveHeads::compact() {
  unsigned next = 0;
  for (unsigned i = 0; i < count_; ++i) {
    Chain& chain = (*chains_)[i] = (*chains_)[first_ + i];
    iovec* place = &(*pieces_)[next];
    std::copy_n(chain.pieces, chain.writable_pieces, place);
    chain.pieces = place;
    next += chain.writable_pieces + 1u;
  }
  first_ = 0;
  next_piece_ = next;
}

void ReceiveHeads::drop_front(unsigned count) {
  for (unsigned i = 0; i < count; ++i) slots_ -= (*chains_)[first_ + i].slots;
  first_ += count;
  count_ -= count;
  if (count_ == 0) first_ = next_piece_ = 0;
}

void ReceiveHeads::give_back_all(Virtqueue& ring) {
  while (count_ != 0) ring.give_back((*chains_)[first_ + --count_]);
  first_ = next_piece_ = slots_ = 0;
}

}  // namespace tapferry
