// SPDX-License-Identifier: MIT
//
// Where our own programs are, for those that start them. Unprivileged programs only: it uses GLib.
#pragma once

#include <string>

namespace tapferry {

// tapferry-helper: `option` (--helper=PATH) unless it is null, else TAPFERRY_HELPER, else beside this program (a build tree), else
// where `make install' puts it.
std::string helper_path(const char* option);

// tapferry-vhost likewise: TAPFERRY_VHOST, beside this program, where `make install' puts it.
std::string vhost_path();

// tapferry-libvirt, with TAPFERRY_LIBVIRT.
std::string libvirt_path();

}  // namespace tapferry
