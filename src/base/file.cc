// SPDX-License-Identifier: Apache-2.0
#include "src/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/owned_file.h"
#include "src/base/status.h"
#include "src/base/unseen_files.h"

namespace forekey {
namespace {

absl::Status Errno(absl::string_view call, const std::string& path) {
  int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(call, " ", path));
}

absl::StatusOr<std::string> ReadOpenFile(int fd, const std::string& path, size_t max_size) {
  std::string content;
  char buffer[65536];
  for (;;) {
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("read", path);
    if (n == 0) return content;
    content.append(buffer, n);
    if (content.size() > max_size) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is larger than the ", max_size, " bytes allowed here"));
    }
  }
}

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("write", path);
    content.remove_prefix(n);
  }
  if (fsync(fd) != 0) return Errno("fsync", path);
  return absl::OkStatus();
}

absl::Status Give(int fd, const std::string& path, const FileOwner& owner) {
  const bool to_nobody = owner.uid == FileOwner().uid && owner.gid == FileOwner().gid;
  if (to_nobody || fchown(fd, owner.uid, owner.gid) == 0) return absl::OkStatus();
  return Errno("fchown", path);
}

std::string DirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SyncDirectory(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Errno("open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  // Some file systems cannot fsync a folder; they say EINVAL, and order renames by themselves.
  if (fsync(fd) != 0 && errno != EINVAL) return Errno("fsync", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_size) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Errno("open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  return ReadOpenFile(fd, path, max_size);
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path, size_t max_size) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Errno("open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return Errno("fstat", path);
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s may be read by others (mode %04o): run chmod 600 %s", path,
                        info.st_mode & 07777, path));
  }
  return ReadOpenFile(fd, path, max_size);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  return WriteOwnedFileAtomically(path, content, mode, FileOwner());
}

absl::Status WriteOwnedFileAtomically(const std::string& path, absl::string_view content,
                                      mode_t mode, const FileOwner& owner) {
  // Hidden, so that nobody who reads the folder takes what a crash left for one of its files.
  const size_t slash = path.rfind('/');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  std::string temporary = absl::StrCat(path.substr(0, name), ".", path.substr(name), ".XXXXXX");
  int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return Errno("create", temporary);
  absl::Status status =
      fchmod(fd, mode) == 0 ? WriteAll(fd, content, temporary) : Errno("fchmod", temporary);
  if (status.ok()) status = Give(fd, temporary, owner);
  close(fd);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = Errno("rename", path);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(DirectoryOf(path));
}

absl::Status EnsurePrivateDirectory(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("the folder's path is empty");
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return Errno("stat", path);
    std::string parent = DirectoryOf(path);
    struct stat parent_info;
    if (stat(parent.c_str(), &parent_info) != 0)
      FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(parent));
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Errno("mkdir", path);
    if (stat(path.c_str(), &info) != 0) return Errno("stat", path);
  }
  if (!S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(path + " is not a folder");
  if (info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " belongs to uid ", info.st_uid, ", not to uid ", geteuid()));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is open to others (mode %04o): run chmod 700 %s", path, info.st_mode & 07777, path));
  }
  return absl::OkStatus();
}

absl::Status GiveFolder(const std::string& path, const FileOwner& owner) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
    return absl::FailedPreconditionError(path + " is not a folder");
  }
  if (fd < 0) return Errno("open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return Errno("fstat", path);
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " belongs to uid ", info.st_uid, ", not to uid ", geteuid()));
  }
  return Give(fd, path, owner);
}

std::string FileSignature(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return "";
  // The time of the last change of the inode tells, too, who may read it now.
  return absl::StrCat(info.st_dev, ":", info.st_ino, ":", info.st_size, ":", info.st_mode, ":",
                      info.st_mtim.tv_sec, ":", info.st_mtim.tv_nsec, ":", info.st_ctim.tv_sec, ":",
                      info.st_ctim.tv_nsec);
}

namespace {

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& directory, bool unseen) {
  DIR* dir = opendir(directory.c_str());
  if (dir == nullptr) return Errno("open folder", directory);
  absl::Cleanup close_dir = [dir] { closedir(dir); };
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(dir);
    if (entry == nullptr && errno != 0) return Errno("read folder", directory);
    if (entry == nullptr) break;
    struct stat info;
    if (entry->d_name[0] == '.') continue;
    const bool seen = fstatat(dirfd(dir), entry->d_name, &info, 0) == 0;
    if (seen ? S_ISREG(info.st_mode) : unseen) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& directory) {
  return NamesIn(directory, /*unseen=*/false);
}

absl::StatusOr<std::vector<std::string>> ListFilesAndUnseen(const std::string& directory) {
  return NamesIn(directory, /*unseen=*/true);
}

}  // namespace forekey
