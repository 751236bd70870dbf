// SPDX-License-Identifier: MIT
//
// Owning a directory stream (opendir(3)).
#pragma once

#include <dirent.h>
#include <memory>

namespace tapferry {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

}  // namespace tapferry
