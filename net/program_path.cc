// SPDX-License-Identifier: MIT
#include "net/program_path.h"

#include <cstdlib>
#include <glib.h>
#include <unistd.h>

#include "config.h"

namespace tapferry {
namespace {

std::string find_program(const char* variable, const char* name, const char* installed) {
  const char* value = getenv(variable);
  if (value != nullptr && *value != '\0') return value;
  g_autofree char* program = g_file_read_link("/proc/self/exe", nullptr);
  if (program != nullptr) {
    g_autofree char* folder = g_path_get_dirname(program);
    const std::string beside = std::string(folder) + "/" + name;
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  return installed;
}

}  // namespace

std::string helper_path(const char* option) {
  return option != nullptr ? option : find_program("TAPFERRY_HELPER", "tapferry-helper", TAPFERRY_HELPER_PATH);
}

std::string vhost_path() { return find_program("TAPFERRY_VHOST", "tapferry-vhost", TAPFERRY_BINDIR "/tapferry-vhost"); }

std::string libvirt_path() {
  return find_program("TAPFERRY_LIBVIRT", "tapferry-libvirt", TAPFERRY_LIBEXECDIR "/tapferry-libvirt");
}

}  // namespace tapferry
