// SPDX-License-Identifier: MIT
//
// Which helper libvirt's session mode and QEMU start, if nobody tells them which.
#include "tools/doctor_libvirt.h"

#include <cstring>
#include <fstream>
#include <glib.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

// Debian's. QEMU's own default is the same file (DEFAULT_BRIDGE_HELPER in include/net/net.h, libexecdir /usr/lib/qemu).
constexpr const char* kQemuHelper = "/usr/lib/qemu/qemu-bridge-helper";
constexpr const char* kSystemConf = "/etc/libvirt/qemu.conf";
constexpr const char* kKey = "bridge_helper";

bool has_libvirt() {
  for (const char* program : {"/usr/sbin/libvirtd", "/usr/sbin/virtqemud", "/usr/bin/virsh"}) {
    if (access(program, X_OK) == 0) return true;
  }
  return false;
}

std::string setting(const std::string& helper) { return std::string(kKey) + " = \"" + helper + "\""; }

std::string set_command(const std::string& conf, const std::string& helper) {
  g_autofree char* directory = g_path_get_dirname(conf.c_str());
  return "mkdir -p " + shell_word(directory) + " && echo " + shell_word(setting(helper)) + " >> " + shell_word(conf);
}

// The file is his own.
std::string replace_command(const std::string& conf, const std::string& helper) {
  return "sed -i " + shell_word("s|^[[:space:]]*" + std::string(kKey) + "[[:space:]]*=.*|" + setting(helper) + "|") +
         " " + shell_word(conf);
}

void look_at_session(const std::string& helper, Diagnosis* diagnosis) {
  const std::string conf = session_conf();
  const std::string object = "libvirt " + conf;
  const std::string lasting = "the session's libvirtd reads it when it starts";
  const auto set = helper_in(conf);
  if (!set) {
    const auto system_wide = helper_in(kSystemConf);
    if (system_wide && is_same_file(*system_wide, helper)) {
      diagnosis->findings.push_back(
          {finding::kLibvirtWrongFile, std::string("libvirt ") + kSystemConf,
           "it names this helper, but a user's libvirtd (qemu:///session) doesn't read it, and the system's needs none",
           set_command(conf, helper), lasting});
    } else {
      diagnosis->findings.push_back({finding::kLibvirtHelperUnset, object,
                                     "it names no helper, so domains of qemu:///session start QEMU's",
                                     set_command(conf, helper), lasting});
    }
  } else if (access(set->c_str(), X_OK) != 0) {
    diagnosis->findings.push_back({finding::kLibvirtHelperMissing, object,
                                   "it names a helper that can't be executed: " + *set, replace_command(conf, helper),
                                   lasting});
  } else if (!is_same_file(*set, helper)) {
    diagnosis->findings.push_back({finding::kLibvirtHelperOther, object, "it names another helper: " + *set,
                                   replace_command(conf, helper), lasting});
  }
}

// As packaged, QEMU's has no privilege at all on Debian.
void look_at_qemu(const std::string& helper, Diagnosis* diagnosis) {
  if (access(kQemuHelper, F_OK) != 0 || is_same_file(kQemuHelper, helper)) return;
  const std::string divert =
      as_root("dpkg-divert --local --rename --add --divert " + std::string(kQemuHelper) + ".distrib " + kQemuHelper);
  diagnosis->findings.push_back({finding::kQemuDefaultHelper, std::string("QEMU's ") + kQemuHelper,
                                 "`-netdev bridge' without helper= starts it, and not tapferry's",
                                 divert + " && " + as_root("ln -s " + shell_word(helper) + " " + kQemuHelper),
                                 "or say helper=" + helper});
}

}  // namespace

bool is_same_file(const std::string& one, const std::string& other) {
  struct stat a = {};
  struct stat b = {};
  return stat(one.c_str(), &a) == 0 && stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// libvirt's configuration files are lines `key = "value"`, with # before a comment; the last one counts.
std::optional<std::string> helper_in(const std::string& conf) {
  std::ifstream file(conf);
  std::optional<std::string> found;
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos || line.compare(begin, strlen(kKey), kKey) != 0) continue;
    const size_t equals = line.find_first_not_of(" \t", begin + strlen(kKey));
    if (equals == std::string::npos || line[equals] != '=') continue;
    const size_t quote = line.find_first_of("\"'", equals);
    if (quote == std::string::npos) continue;
    found = line.substr(quote + 1, line.find(line[quote], quote + 1) - quote - 1);
  }
  return found;
}

// virGetUserConfigDirectory() of libvirt.
std::string session_conf() { return std::string(g_get_user_config_dir()) + "/libvirt/qemu.conf"; }

Status check_libvirt(const Patient& patient, Diagnosis* diagnosis) {
  if (access(patient.helper.c_str(), F_OK) != 0) return {};
  // Root's session is nobody's.
  if (has_libvirt() && geteuid() != 0) look_at_session(patient.helper, diagnosis);
  look_at_qemu(patient.helper, diagnosis);
  return {};
}

}  // namespace tapferry
