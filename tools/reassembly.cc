// SPDX-License-Identifier: MIT
#include "tools/reassembly.h"

#include <algorithm>

namespace tapferry {

std::optional<Bytes> Reassembly::add(const IpPacket& fragment, int64_t now_ms) {
  std::erase_if(partial_, [&](const Partial& one) { return now_ms - one.began_ms > kTimeoutMs; });
  const auto partial = find(fragment, now_ms);
  const Outcome outcome = put(&*partial, fragment);
  if (outcome == Outcome::kKept) return std::nullopt;
  std::optional<Bytes> whole;
  if (outcome == Outcome::kWhole) whole = std::move(partial->payload);
  partial_.erase(partial);
  return whole;
}

std::list<Reassembly::Partial>::iterator Reassembly::find(const IpPacket& fragment, int64_t now_ms) {
  const auto found = std::find_if(partial_.begin(), partial_.end(), [&](const Partial& one) {
    return one.from == fragment.from && one.to == fragment.to && one.id == fragment.id &&
           one.protocol == fragment.protocol;
  });
  if (found != partial_.end()) return found;
  if (partial_.size() == kMaxDatagrams) partial_.pop_front();
  Partial& fresh = partial_.emplace_back();
  fresh.from = fragment.from;
  fresh.to = fragment.to;
  fresh.protocol = fragment.protocol;
  fresh.id = fragment.id;
  fresh.began_ms = now_ms;
  return std::prev(partial_.end());
}

Reassembly::Outcome Reassembly::put(Partial* partial, const IpPacket& fragment) {
  const size_t begin = fragment.fragment_offset;
  const size_t end = begin + fragment.payload.size();
  // Only the last fragment may have a length that is no multiple of 8, and none may be empty.
  if (fragment.payload.empty() || end > kMaxPayload) return Outcome::kBroken;
  if (fragment.has_more_fragments && end % 8 != 0) return Outcome::kBroken;
  if (partial->length && end > *partial->length) return Outcome::kBroken;
  if (!fragment.has_more_fragments) {
    if (partial->length.value_or(end) != end || partial->payload.size() > end) return Outcome::kBroken;
    partial->length = end;
  }
  size_t present = 0;
  for (size_t block = begin / 8; block * 8 < end; ++block) present += partial->blocks[block];
  if (present != 0) {
    const bool is_all_there = present == (end - begin + 7) / 8 && end <= partial->payload.size();
    const bool is_same = is_all_there && std::equal(fragment.payload.begin(), fragment.payload.end(),
                                                    partial->payload.begin() + static_cast<ptrdiff_t>(begin));
    return is_same ? Outcome::kKept : Outcome::kBroken;
  }
  if (partial->payload.size() < end) partial->payload.resize(end);
  std::copy(fragment.payload.begin(), fragment.payload.end(), partial->payload.begin() + static_cast<ptrdiff_t>(begin));
  for (size_t block = begin / 8; block * 8 < end; ++block) partial->blocks[block] = true;
  partial->received += fragment.payload.size();
  return partial->length && partial->received == *partial->length ? Outcome::kWhole : Outcome::kKept;
}

}  // namespace tapferry
