// SPDX-License-Identifier: MIT
#include "helper/policy_load.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/syscall.h"
#include "helper/policy_parse.h"

namespace tapferry {
namespace {

// A file to read, and how an error names it: the policy itself, or the line that includes it.
struct Source {
  std::string path;
  std::string where;   // "FILE" or "FILE:LINE"
  std::string prefix;  // "" or "include PATH: "

  Error error(std::string_view reason) const { return Error("read", where, prefix + std::string(reason)); }
  Error error(int code) const { return error(Error::from_errno("", "", code).reason()); }
};

// That opening the path failed since nothing is there. A symbolic link to nowhere is something.
bool is_absent(const Error& error, const std::string& path) {
  struct stat status;
  return error.code() == ENOENT && lstat(path.c_str(), &status) != 0 && errno == ENOENT;
}

class Loader {
 public:
  Loader(const std::string& main_path, std::optional<uid_t> trusted_uid)
      : base_(main_path.substr(0, main_path.rfind('/') + 1)), trusted_uid_(trusted_uid) {}

  // The file and what it includes. The file is closed before its includes are opened, so that the depth of includes
  // doesn't decide how many descriptors are needed.
  Status load(Fd fd, const Source& source) {
    struct stat status;
    if (fstat(fd.get(), &status) != 0) return source.error(errno);
    TRY(check_file(status, source));
    const Identity identity(status.st_dev, status.st_ino);
    if (std::find(open_.begin(), open_.end(), identity) != open_.end()) return source.error("it includes itself");
    if (open_.size() > kMaxIncludeDepth) return source.error("includes are nested too deep");
    if (++files_ > kMaxPolicyFiles) return source.error("too many files");
    auto text = read_all(fd.get(), kMaxPolicyFile, source.path);
    if (!text.is_ok()) return source.error(text.error().reason());
    fd.reset();

    open_.push_back(identity);
    std::vector<Statement> statements = TRY(parse_policy(text.value(), source.path, label_of(source.path)));
    for (Statement& statement : statements) {
      if (Rule* rule = std::get_if<Rule>(&statement)) {
        policy_.rules.push_back(std::move(*rule));
      } else if (const Include* include = std::get_if<Include>(&statement)) {
        TRY(load_include(*include, source.path));
      }
    }
    open_.pop_back();
    return {};
  }

  Policy take() { return std::move(policy_); }

 private:
  using Identity = std::pair<dev_t, ino_t>;

  // Whoever can write the file can grant himself anything.
  Status check_owner(const struct stat& status, const Source& source) const {
    if (status.st_uid != 0 && status.st_uid != trusted_uid_) return source.error("it doesn't belong to root");
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
      return source.error("others than its owner can write to it").with_hint("as root: chmod go-w");
    }
    return {};
  }

  Status check_file(const struct stat& status, const Source& source) const {
    if (!S_ISREG(status.st_mode)) return source.error("not a regular file");
    return check_owner(status, source);
  }

  Status load_include(const Include& include, const std::string& file) {
    const std::string where = file + ":" + std::to_string(include.line);
    if (include.is_glob) return load_glob(include, where);
    return load_included(AT_FDCWD, include.path, {include.path, where, "include " + include.path + ": "});
  }

  Status load_included(int dir_fd, const std::string& name, const Source& source) {
    // O_NONBLOCK: should it be a FIFO, the open must not wait.
    Result<Fd> fd = open_file_at(dir_fd, name, O_RDONLY | O_NONBLOCK, source.path);
    if (fd.is_ok()) return load(std::move(fd).value(), source);
    if (fd.error().code() != EACCES) return source.error(fd.error().reason());
    // Only a file that is seen to be there, and to be the administrator's, is known to be kept from this caller on
    // purpose. Behind a directory that can't be searched there could be anything.
    struct stat status;
    if (fstatat(dir_fd, name.c_str(), &status, 0) != 0) return source.error(errno);
    TRY(check_file(status, source));
    policy_.skipped.push_back(source.path);
    return {};
  }

  Status load_glob(const Include& include, const std::string& where) {
    const size_t slash = include.path.rfind('/');
    const std::string directory_path = include.path.substr(0, std::max<size_t>(slash, 1));
    const Source source{directory_path, where, "include " + include.path + ": "};
    Result<Fd> fd = open_file(directory_path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!fd.is_ok() && is_absent(fd.error(), directory_path)) return {};
    if (!fd.is_ok()) return source.error(fd.error().reason());
    struct stat status;
    if (fstat(fd.value().get(), &status) != 0) return source.error(errno);
    TRY(check_owner(status, source));
    const std::string pattern = include.path.substr(slash + 1);
    const std::vector<std::string> names = TRY(list_matches(fd.value().get(), pattern, source));
    for (const std::string& name : names) {
      const std::string path = include.path.substr(0, slash + 1) + name;
      TRY(load_included(fd.value().get(), name, {path, where, "include " + path + ": "}));
    }
    return {};
  }

  // In byte order, which no locale changes. Not by readdir(): it takes ENOENT for the end of the directory, and the rest of
  // the rules for absent.
  static Result<std::vector<std::string>> list_matches(int directory, const std::string& pattern,
                                                       const Source& source) {
    std::vector<std::string> names;
    alignas(dirent64) char entries[4096];
    for (;;) {
      const ssize_t n = retry_on_eintr([&] { return getdents64(directory, entries, sizeof entries); });
      if (n < 0) return source.error(errno);
      if (n == 0) break;
      for (ssize_t at = 0; at < n;) {
        const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
        at += entry->d_reclen;
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (fnmatch(pattern.c_str(), name.c_str(), FNM_PATHNAME | FNM_PERIOD) != 0) continue;
        if (names.size() == kMaxPolicyFiles) return source.error("too many files");
        names.push_back(name);
      }
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  // Below the directory of the main file a path is shortened.
  std::string label_of(const std::string& path) const {
    return path.starts_with(base_) ? path.substr(base_.size()) : path;
  }

  std::string base_;  // directory of the main file, with its slash
  std::optional<uid_t> trusted_uid_;
  std::vector<Identity> open_;  // the files that led here, to see a loop
  unsigned files_ = 0;
  Policy policy_;
};

// No descriptor if the file doesn't exist.
Result<Fd> open_main(const Source& source) {
  Result<Fd> fd = open_file(source.path, O_RDONLY | O_NONBLOCK);
  if (fd.is_ok()) return fd;
  if (is_absent(fd.error(), source.path)) return Fd();
  Error error = source.error(fd.error().reason());
  if (fd.error().code() != EACCES) return error;
  return std::move(error).with_hint("the policy is read as the caller: as root, chmod a+r");
}

}  // namespace

Result<Policy> load_policy(const PolicyPaths& paths, std::optional<uid_t> trusted_uid) {
  for (const std::string& path : {paths.policy, paths.bridge_conf}) {
    if (path.empty()) continue;
    const Source source{path, path, ""};
    Fd fd = TRY(open_main(source));
    if (!fd.is_open()) continue;
    Loader loader(path, trusted_uid);
    TRY(loader.load(std::move(fd), source));
    Policy policy = loader.take();
    policy.path = path;
    return policy;
  }
  return Error("read", paths.policy, "there is no policy, so nothing is allowed")
      .with_hint("as root, write a line such as `allow bridge=br0 user=NAME' into it");
}

}  // namespace tapferry
