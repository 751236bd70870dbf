// SPDX-License-Identifier: MIT
//
// Which running VM a command is about, and the way to its QEMU: a QMP socket, or a libvirt domain by `tapferry-libvirt`
// (domain/main.cc), which speaks QMP too.
#pragma once

#include <glib.h>
#include <string>

#include "base/result.h"
#include "tools/qmp.h"

namespace tapferry {

struct VmChoice {
  std::string qmp;     // a socket's path
  std::string domain;  // or a domain's name
  std::string uri;     // of libvirt; empty: its default

  // "QMP socket /run/vm.qmp", "domain vm1"
  std::string name() const { return qmp.empty() ? "domain " + domain : "QMP socket " + qmp; }
};

// The options' values as GLib reads them; entries() are theirs.
class VmOptions {
 public:
  VmOptions() = default;
  ~VmOptions();
  VmOptions(const VmOptions&) = delete;
  VmOptions& operator=(const VmOptions&) = delete;

  GOptionEntry qmp_entry() {
    return {"qmp", 'q', 0, G_OPTION_ARG_FILENAME, &qmp_, "the VM, by its QMP socket", "SOCKET"};
  }
  GOptionEntry domain_entry() {
    return {"domain", 'd', 0, G_OPTION_ARG_FILENAME, &domain_, "or by its name in libvirt", "DOMAIN"};
  }
  GOptionEntry connect_entry() {
    return {"connect", 'c', 0, G_OPTION_ARG_FILENAME, &connect_, "libvirt's URI (default: as virsh's)", "URI"};
  }

  // Exactly one of --qmp and --domain.
  Result<VmChoice> choice() const;

 private:
  char* qmp_ = nullptr;
  char* domain_ = nullptr;
  char* connect_ = nullptr;
};

Result<Qmp> connect_vm(const VmChoice& choice);

}  // namespace tapferry
