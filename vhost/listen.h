// SPDX-License-Identifier: MIT
//
// Where front-ends connect: a socket at a path, or a descriptor that the program was started with.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class FrontEndSocket {
 public:
  // Listens at `path`, for this user only (mode 0600), and removes it in the end. What is there already stays, with an error, unless
  // it is a socket at which nobody listens: a program that was killed has left it.
  static Result<FrontEndSocket> listen_at(const std::string& path);
  // An inherited AF_UNIX stream socket that listens, or that is connected to a front-end.
  static Result<FrontEndSocket> from_fd(int fd);

  FrontEndSocket(FrontEndSocket&& other) noexcept;
  FrontEndSocket& operator=(FrontEndSocket&&) = delete;
  ~FrontEndSocket();

  int fd() const { return fd_.get(); }
  // Otherwise it is the one connection that there will be: take_connection().
  bool is_listening() const { return is_listening_; }
  // Non-blocking. No descriptor: nobody is there any more.
  Result<Fd> accept() const;
  Fd take_connection() { return std::move(fd_); }

  // The folder in which something is to be removed in the end; empty: nothing is.
  std::string folder() const;
  // "/run/vm.sock", "descriptor 3".
  const std::string& name() const { return name_; }

 private:
  FrontEndSocket(Fd fd, bool is_listening, std::string name)
      : fd_(std::move(fd)), is_listening_(is_listening), name_(std::move(name)) {}

  Fd fd_;
  bool is_listening_ = true;
  std::string name_;
  std::string path_;  // to be removed
  dev_t device_ = 0;  // if it is still this one
  ino_t inode_ = 0;
};

}  // namespace tapferry
