// SPDX-License-Identifier: MIT
//
// Owning a file descriptor.
#pragma once

#include <utility>

namespace tapferry {

// Sole owner of a descriptor; -1 is none. Not convertible to bool or int, since 0 is a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  // Closes what is held. Never retried on EINTR: Linux has released the number by then (close(2)).
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace tapferry
