// SPDX-License-Identifier: MIT
#include "tools/doctor_nodes.h"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/fd.h"
#include "base/syscall.h"
#include "net/warden_names.h"
#include "tools/doctor.h"
#include "tools/doctor_user_nodes.h"

namespace tapferry {
namespace {

constexpr time_t kOldAfterS = 60;

Result<Directory> open_directory(const std::string& path) {
  Fd fd = TRY(open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  Directory directory(fdopendir(fd.get()));
  if (!directory) return Error::from_errno("open", path, errno);
  (void)fd.release();
  return directory;
}

bool is_old_node(int directory, const char* name) {
  struct stat status = {};
  if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return S_ISCHR(status.st_mode) && status.st_mtime < time(nullptr) - kOldAfterS;
}

Status add_findings(const std::string& directory, std::string_view prefix, Diagnosis* diagnosis) {
  const auto names = find_old_nodes(directory, prefix);
  if (!names.is_ok() && names.error().code() == EACCES) {
    diagnosis->notes.push_back("what is left in " + directory + " can't be seen without root");
    return {};
  }
  if (!names.is_ok()) return names.error();
  for (const std::string& name : names.value()) {
    Finding finding;
    finding.object = "device node " + directory;
    finding.object += "/" + name;
    finding.problem = "left behind when the process that made it was killed";
    finding.kind = finding::kLeftNode;
    finding.command = kRepairCommand;
    finding.repair = [directory, name]() -> Result<std::string> {
      const Status removed = remove_old_node(directory, name);
      if (!removed.is_ok() && removed.error().code() == ENOENT) return std::string("gone by itself");
      TRY(removed);
      return std::string("removed");
    };
    diagnosis->findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> find_old_nodes(const std::string& directory, std::string_view prefix) {
  std::vector<std::string> names;
  auto opened = open_directory(directory);
  if (!opened.is_ok() && opened.error().code() == ENOENT) return names;
  const Directory list = TRY(std::move(opened));
  while (const dirent* entry = readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(prefix) && is_old_node(dirfd(list.get()), entry->d_name)) names.emplace_back(name);
  }
  return names;
}

Status remove_old_node(const std::string& directory, const std::string& name) {
  const Directory list = TRY(open_directory(directory));
  const std::string path = directory + "/" + name;
  if (!is_old_node(dirfd(list.get()), name.c_str())) return Error::from_errno("remove", path, ENOENT);
  if (unlinkat(dirfd(list.get()), name.c_str(), 0) != 0) return Error::from_errno("remove", path, errno);
  return {};
}

Status check_nodes(const Patient&, Diagnosis* diagnosis) {
  TRY(add_findings(kNodeDirectory, "", diagnosis));
  TRY(add_findings(kOwnNodes, kOwnNodePrefix, diagnosis));
  return check_user_nodes(diagnosis);
}

}  // namespace tapferry
