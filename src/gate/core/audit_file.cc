#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/status.h"
#include "src/gate/core/audit.h"

namespace forekey {
namespace {

constexpr int64_t kRotationCheckInterval = 1'000'000'000;

absl::Status ErrnoError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(path, ": ", what, ": ", std::strerror(errno)));
}

class FileAuditSink final : public AuditSink {
 public:
  explicit FileAuditSink(std::string path) : path_(std::move(path)) {}
  ~FileAuditSink() override {
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Open() {
    absl::MutexLock lock(&mutex_);
    return OpenLocked();
  }

  absl::Status Write(const Decision& decision) override {
    std::string line = absl::StrCat("\n", DecisionToJson(decision), "\n");
    absl::MutexLock lock(&mutex_);
    FOREKEY_RETURN_IF_ERROR(FollowRotation());
    // The leading newline only after a line that was cut short.
    const char* begin = line.data() + (cut_short_ ? 0 : 1);
    const size_t size = line.size() - (cut_short_ ? 0 : 1);
    ssize_t written;
    do {
      written = write(fd_, begin, size);
    } while (written < 0 && errno == EINTR);
    if (written == static_cast<ssize_t>(size)) {
      cut_short_ = false;
      return absl::OkStatus();
    }
    if (written < 0) return ErrnoError("write", path_);
    cut_short_ = cut_short_ || written > 0;
    return absl::UnavailableError(absl::StrCat(path_, ": only a part of a line was written: disk full?"));
  }

 private:
  absl::Status OpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const int fd = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return ErrnoError("open", path_);
    struct stat info;
    absl::Status status;
    if (fstat(fd, &info) != 0) {
      status = ErrnoError("fstat", path_);
    } else if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
      status = absl::PermissionDeniedError(absl::StrCat(
          path_, ": the audit log must be a regular file of this user with mode 0600; chown and chmod it"));
    }
    if (!status.ok()) {
      close(fd);
      return status;
    }
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
    device_ = info.st_dev;
    inode_ = info.st_ino;
    cut_short_ = false;
    return absl::OkStatus();
  }

  absl::Status FollowRotation() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const int64_t now = Clock::System().BootNanos();
    if (now < next_check_) return absl::OkStatus();
    struct stat info;
    if (stat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
      next_check_ = now + kRotationCheckInterval;
      return absl::OkStatus();
    }
    return OpenLocked();
  }

  const std::string path_;
  absl::Mutex mutex_;
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;
  dev_t device_ ABSL_GUARDED_BY(mutex_) = 0;
  ino_t inode_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_check_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cut_short_ ABSL_GUARDED_BY(mutex_) = false;
};

class StderrAuditSink final : public AuditSink {
 public:
  absl::Status Write(const Decision& decision) override {
    const std::string line = DecisionToJson(decision) + "\n";
    absl::MutexLock lock(&mutex_);
    ssize_t written;
    do {
      written = write(STDERR_FILENO, line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    return written == static_cast<ssize_t>(line.size()) ? absl::OkStatus()
                                                        : ErrnoError("write", "stderr");
  }

 private:
  absl::Mutex mutex_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AuditSink>> OpenAuditFile(const std::string& path) {
  auto sink = std::make_unique<FileAuditSink>(path);
  FOREKEY_RETURN_IF_ERROR(sink->Open());
  return sink;
}

std::unique_ptr<AuditSink> NewStderrAuditSink() { return std::make_unique<StderrAuditSink>(); }

}  // namespace forekey
