// SPDX-License-Identifier: MIT
//
// A part of somebody else's file, mapped shared and watched by the memory guard: a region of guest memory or the dirty log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Sole owner of a mapping; empty when base() is null.
class SharedMapping {
 public:
  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping& operator=(SharedMapping&& other) noexcept;
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping() { reset(); }

  // Bytes [offset, offset + size) of the file, readable and writable. Refused: no size, a sum that wraps, a file that ends
  // before. The error's object is `what`. The descriptor isn't needed afterwards.
  static Result<SharedMapping> map(const Fd& fd, uint64_t offset, uint64_t size, std::string_view what);
  void reset();

  // Of the byte at `offset`.
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  void* base_ = nullptr;  // as mmap(2) returned it: on a page, of a huge one where the file has those
  size_t mapped_bytes_ = 0;
};

}  // namespace tapferry
