// SPDX-License-Identifier: MIT
//
// The <interface> element by which a libvirt in session mode has what a SPEC asks for, or the reason why it can't. libvirt
// has three ways that need no privilege of its own: type='bridge', for which it runs the helper and tells it nothing but
// the bridge's name; type='ethernet' with managed='no', for which it opens an interface that exists and is the user's; and
// type='vhostuser', for which it connects to a tapferry-vhost. Nothing here does any I/O.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/spec.h"

namespace tapferry {

struct LibvirtRequest {
  Spec spec;
  std::string spec_text;
  std::optional<std::string> vhost_user_socket;
  std::optional<Link> existing;  // what tap=NAME or device=WHICH names, or name= with persist=on, where there is one
  Mac fresh_mac;                 // for a guest that has none by the request
};

struct LibvirtElement {
  std::string xml;                 // ends with a newline
  std::vector<std::string> notes;  // what else it needs, a line each
};

Result<LibvirtElement> libvirt_element(const LibvirtRequest& request);

// The interface that the request's element would name, if it names one.
std::optional<std::string> named_interface(const Spec& spec);

}  // namespace tapferry
