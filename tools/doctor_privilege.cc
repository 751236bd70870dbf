// SPDX-License-Identifier: MIT
//
// Whether a setuid program can get its privilege where this process runs, and the user whom the warden becomes.
#include "tools/doctor_privilege.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <linux/capability.h>
#include <memory>
#include <pwd.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/parse.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

constexpr const char* kWardenUser = "tapferry";
// As `make install' has it.
constexpr const char* kAddWardenUser =
    "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin tapferry";
constexpr const char* kThisProcess = "this process";

struct CloseFile {
  void operator()(FILE* file) const { fclose(file); }
};

// In the file itself, as the helper looks: not by NSS.
bool has_warden_user() {
  const std::unique_ptr<FILE, CloseFile> file(fopen("/etc/passwd", "re"));
  if (!file) return false;
  while (const passwd* entry = fgetpwent(file.get())) {
    if (std::string_view(entry->pw_name) == kWardenUser) return true;
  }
  return false;
}

void look_at_warden_user(const Patient& patient, Diagnosis* diagnosis) {
  if (has_warden_user()) return;
  const std::string object = std::string("user ") + kWardenUser;
  const std::string command = as_root(kAddWardenUser);
  if (patient.policy != nullptr) {
    for (const ListedRule& rule : patient.policy->rules) {
      if (!is_relevant(patient, rule) || !rule.needs_service()) continue;
      diagnosis->findings.push_back({finding::kWardenUserNeeded, object,
                                     "there is no such system user, which " + rule.label + " needs: " + rule.text,
                                     command, ""});
      return;
    }
  }
  diagnosis->findings.push_back(
      {finding::kWardenUserMissing, object,
       "there is no such system user; macvtap=, device=, bridge=ovs:, lock=on and filter=auto need it", command, ""});
}

}  // namespace

bool has_net_admin() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

bool is_in_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  std::string line;
  if (!std::getline(map, line)) return false;
  const auto words = split_words(line);
  return words.size() != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295";
}

Status check_privilege(const Patient& patient, Diagnosis* diagnosis) {
  const std::string elsewhere = "start it outside of the sandbox or container";
  if (is_in_user_namespace()) {
    diagnosis->findings.push_back({finding::kUserNamespace, kThisProcess,
                                   "it runs in a user namespace, where the setuid bit gives nothing over this network",
                                   "", elsewhere});
  } else if (!has_net_admin() && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
    diagnosis->findings.push_back(
        {finding::kNoNewPrivs, kThisProcess,
         "no_new_privs is set for it, so no setuid program that it starts gets privilege", "",
         elsewhere + "; in a systemd unit: NoNewPrivileges=no, and none of the settings that imply it"});
  } else if (prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0) {
    diagnosis->findings.push_back({finding::kBoundingSet, kThisProcess,
                                   "CAP_NET_ADMIN is not in its bounding set, so no program that it starts can have it",
                                   "", elsewhere + ", or give that container CAP_NET_ADMIN"});
  }
  look_at_warden_user(patient, diagnosis);
  return {};
}

}  // namespace tapferry
