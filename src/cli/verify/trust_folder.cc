// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/public_directory.h"
#include "src/base/status.h"
#include "src/cli/verify/trust_candidate.h"
#include "src/crypto/certificate.h"
#include "src/verify/emptied_trust.h"

namespace forekey {
namespace {

constexpr char kLock[] = "/.lock";
constexpr size_t kMaxTrustFileName = 200;

// "tpm" of "tpm/NAME.pem"; empty for a file of the folder itself.
std::string KindFolder(const std::string& name) {
  const size_t slash = name.find('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

// "DIR/.tpm-NAME.pem.new": not in the kind's folder, whose time of change a mark of an emptied one
// is held against.
std::string PreparedPath(const std::string& directory, const std::string& name) {
  const size_t slash = name.find('/');
  return absl::StrCat(directory, "/.", name.substr(0, slash), "-", name.substr(slash + 1), ".new");
}

// So that what was removed stays so after a power failure, whatever is written elsewhere later.
absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  }
  const absl::Cleanup close_fd = [fd] { close(fd); };
  // Some file systems can't, and say EINVAL.
  if (fsync(fd) != 0 && errno != EINVAL) {
    return absl::ErrnoToStatus(errno, absl::StrCat("fsync ", path));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsTrustFileName(absl::string_view name) {
  const size_t slash = name.find('/');
  if (slash == absl::string_view::npos || !TrustKindFromName(name.substr(0, slash))) return false;
  name.remove_prefix(slash + 1);
  if (name.empty() || name[0] == '.' || name.size() > kMaxTrustFileName) return false;
  for (char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') {
      return false;
    }
  }
  return absl::EndsWith(name, ".pem");
}

absl::StatusOr<LockedTrustFolder> LockedTrustFolder::Lock(const std::string& directory) {
  FOREKEY_RETURN_IF_ERROR(MakePublicDirectory(directory));
  const std::string path = directory + kLock;
  // For its owner alone: whoever may open it could hold it for ever.
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("can't lock ", directory));
  while (flock(fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, absl::StrCat("can't lock ", directory));
  }
  return LockedTrustFolder(directory, fd);
}

LockedTrustFolder::LockedTrustFolder(LockedTrustFolder&& other) noexcept
    : directory_(std::move(other.directory_)),
      fd_(std::exchange(other.fd_, -1)),
      thinned_(std::move(other.thinned_)) {}

LockedTrustFolder& LockedTrustFolder::operator=(LockedTrustFolder&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    directory_ = std::move(other.directory_);
    fd_ = std::exchange(other.fd_, -1);
    thinned_ = std::move(other.thinned_);
  }
  return *this;
}

LockedTrustFolder::~LockedTrustFolder() {
  if (fd_ >= 0) close(fd_);
}

absl::Status LockedTrustFolder::Write(const std::string& name, absl::string_view content) {
  const std::string kind = KindFolder(name);
  if (kind.empty()) return WriteFileAtomically(absl::StrCat(directory_, "/", name), content, 0644);
  FOREKEY_RETURN_IF_ERROR(Prepare(name, content));
  const absl::Status placed = Place(name);
  if (!placed.ok()) DropPrepared(name);
  return placed;
}

absl::Status LockedTrustFolder::Prepare(const std::string& name, absl::string_view content) {
  return WriteFileAtomically(PreparedPath(directory_, name), content, 0644);
}

absl::Status LockedTrustFolder::Place(const std::string& name) {
  const std::string path = absl::StrCat(directory_, "/", name), kind = KindFolder(name),
                    folder = absl::StrCat(directory_, "/", kind),
                    prepared = PreparedPath(directory_, name);
  FOREKEY_RETURN_IF_ERROR(MakePublicDirectory(folder));
  if (rename(prepared.c_str(), path.c_str()) != 0) {
    if (errno != EXDEV) return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", path));
    // The kind's folder is a link, or a mount, to another file system.
    FOREKEY_ASSIGN_OR_RETURN(const std::string content, ReadFile(prepared));
    FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(path, content, 0644));
    DropPrepared(name);
  }
  FOREKEY_RETURN_IF_ERROR(SyncFolder(folder));
  return RemoveMark(kind);
}

void LockedTrustFolder::DropPrepared(const std::string& name) {
  (void)unlink(PreparedPath(directory_, name).c_str());
}

bool LockedTrustFolder::IsPrepared(const std::string& directory, const std::string& name) {
  return !FileSignature(PreparedPath(directory, name)).empty();
}

absl::Status LockedTrustFolder::RemoveMark(const std::string& kind) {
  // It is not empty any more; the next time may be a mistake.
  const std::string mark = absl::StrCat(directory_, "/", kind, "/", kEmptiedTrust);
  if (unlink(mark.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't remove ", mark));
  }
  return absl::OkStatus();
}

absl::Status LockedTrustFolder::Remove(const std::string& name) {
  const std::string path = absl::StrCat(directory_, "/", name), kind = KindFolder(name);
  if (!kind.empty()) {
    thinned_.insert(kind);
    DropPrepared(name);
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't remove ", path));
  }
  return SyncFolder(kind.empty() ? directory_ : absl::StrCat(directory_, "/", kind));
}

absl::StatusOr<std::vector<std::string>> LockedTrustFolder::MarkEmptied() {
  std::vector<std::string> emptied;
  for (const std::string& kind : thinned_) {
    const std::string folder = absl::StrCat(directory_, "/", kind);
    // As a gate reads it: a README beside them vouches for nobody.
    std::vector<std::string> others;
    const absl::StatusOr<TrustAnchors> left = TrustAnchors::FromDirectory(folder, &others);
    if (absl::IsNotFound(left.status())) continue;
    FOREKEY_RETURN_IF_ERROR(left.status());
    if (!left->empty()) continue;
    FOREKEY_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(folder, "/", kEmptiedTrust),
                            "`forekey trust` took the last certificate out of this folder.\n"));
    emptied.push_back(kind);
  }
  return emptied;
}

std::string EmptiedTrustWarning(const std::string& directory, const std::string& kind) {
  return absl::StrCat("warning: the last certificate of ", directory, "/", kind,
                      " was taken out: a gate that trusts this folder enrols no ", kind,
                      " tokens any more");
}

}  // namespace forekey
