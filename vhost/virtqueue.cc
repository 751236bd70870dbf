// SPDX-License-Identifier: MIT
#include "vhost/virtqueue.h"

#include <utility>

#include "vhost/packed_ring.h"
#include "vhost/split_ring.h"

namespace tapferry {

Virtqueue::Virtqueue() = default;
Virtqueue::~Virtqueue() = default;
Virtqueue::Virtqueue(Virtqueue&&) noexcept = default;
Virtqueue& Virtqueue::operator=(Virtqueue&&) noexcept = default;

Status Virtqueue::start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log) {
  split_.reset();
  packed_.reset();
  fault_ = {};
  last_base_ = config.base;
  if (config.is_packed) {
    auto ring = std::make_unique<PackedRing>();
    TRY(ring->start(config, memory, log));
    packed_ = std::move(ring);
  } else {
    auto ring = std::make_unique<SplitRing>();
    TRY(ring->start(config, memory, log));
    split_ = std::move(ring);
  }
  return {};
}

Status Virtqueue::relocate(const GuestMemory* memory, DirtyLog* log) {
  if (!is_started()) return {};
  Status found = split_ != nullptr ? split_->relocate(memory, log) : packed_->relocate(memory, log);
  if (found.is_ok()) return found;
  // Not stop(): the rings can't be written any more.
  last_base_ = base();
  split_.reset();
  packed_.reset();
  return found;
}

uint32_t Virtqueue::stop() {
  if (is_started()) {
    publish();
    last_base_ = base();
  }
  split_.reset();
  packed_.reset();
  return last_base_;
}

bool Virtqueue::is_started() const { return split_ != nullptr || packed_ != nullptr; }

unsigned Virtqueue::size() const {
  if (split_ != nullptr) return split_->size();
  return packed_ != nullptr ? packed_->size() : 0;
}

Take Virtqueue::take(Chain* chain, iovec* pieces, unsigned room) {
  if (is_broken()) [[unlikely]] {
    return Take::kBroken;
  }
  if (split_ != nullptr) return split_->take(chain, pieces, room, &fault_);
  return packed_ != nullptr ? packed_->take(chain, pieces, room, &fault_) : Take::kEmpty;
}

void Virtqueue::give_back(const Chain& chain) { split_ != nullptr ? split_->give_back() : packed_->give_back(chain); }

void Virtqueue::push_used(const Chain& chain, uint32_t written) {
  split_ != nullptr ? split_->push_used(chain, written) : packed_->push_used(chain, written);
}

bool Virtqueue::publish() {
  if (split_ != nullptr) return split_->publish();
  return packed_ != nullptr && packed_->publish();
}

bool Virtqueue::arm_kicks() {
  if (split_ != nullptr) return split_->arm_kicks();
  return packed_ != nullptr && packed_->arm_kicks();
}

void Virtqueue::disarm_kicks() {
  if (split_ != nullptr) {
    split_->disarm_kicks();
  } else if (packed_ != nullptr) {
    packed_->disarm_kicks();
  }
}

uint32_t Virtqueue::base() const {
  if (split_ != nullptr) return split_->base();
  return packed_ != nullptr ? packed_->base() : last_base_;
}

}  // namespace tapferry
