// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/base/standard_error.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/audit/heads_file.h"

namespace forekey {
namespace {

constexpr absl::Duration kRotationCheckInterval = absl::Seconds(1);
// How far back the last whole line is looked for: several times the longest line.
constexpr size_t kTailToRead = 256 * 1024;

absl::Status ErrnoError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(path, ": ", what, ": ", std::strerror(errno)));
}

// All of it or nothing is left to chance: true where every byte was written.
ssize_t WriteOnce(int fd, absl::string_view bytes) {
  ssize_t written;
  do {
    written = write(fd, bytes.data(), bytes.size());
  } while (written < 0 && errno == EINTR);
  return written;
}

std::string TimeNow() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", Clock::System().WallNow(), absl::UTCTimeZone());
}

class OwnedFd {
 public:
  OwnedFd() = default;
  ~OwnedFd() { Reset(-1); }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int get() const { return fd_; }
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

absl::StatusOr<int> OpenPrivate(const std::string& path, int flags) {
  OwnedFd fd;
  fd.Reset(open(path.c_str(), flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd.get() < 0) return ErrnoError("open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoError("fstat", path);
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path,
        ": the audit log must be a regular file of this user with mode 0600; chown and chmod it"));
  }
  return fd.Release();
}

// What a file ends with: its last whole line, and the bytes behind that.
struct FileEnd {
  std::optional<AuditHead> last;
  std::string torn;
};

absl::StatusOr<FileEnd> ReadEnd(const std::string& path, int fd, off_t size) {
  const size_t wanted = std::min<size_t>(static_cast<size_t>(size), kTailToRead);
  std::string tail(wanted, '\0');
  const off_t begin = size - static_cast<off_t>(wanted);
  if (pread(fd, tail.data(), wanted, begin) != static_cast<ssize_t>(wanted)) {
    return ErrnoError("read", path);
  }
  FileEnd end;
  size_t end_of_line = tail.rfind('\n');
  while (end_of_line != std::string::npos) {
    const size_t before = end_of_line == 0 ? std::string::npos : tail.rfind('\n', end_of_line - 1);
    if (before == std::string::npos && begin != 0) break;  // its beginning was not read
    const size_t start = before == std::string::npos ? 0 : before + 1;
    if (auto line = ParseAuditLine(absl::string_view(tail).substr(start, end_of_line - start))) {
      end.last = line->head;
      end.torn = tail.substr(end_of_line + 1);
      return end;
    }
    end_of_line = before;
  }
  if (begin == 0 && tail.find('\n') == std::string::npos) {  // the very first line was cut short
    end.torn = tail;
    return end;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path,
      ": does not end in a line of an audit log: keep it, move it away, and look at it "
      "with `forekey-gate audit verify`"));
}

class FileAuditSink final : public AuditSink {
 public:
  FileAuditSink(std::string path, const AuditOptions& options, AppendToFile append_head)
      : path_(std::move(path)), options_(options) {
    if (options_.heads_file.empty()) return;
    heads_ =
        std::make_unique<HeadsFile>(options_.heads_file, options_.slow, std::move(append_head));
  }

  ~FileAuditSink() override {
    if (heads_ == nullptr) return;
    mutex_.Lock();
    const AuditHead last = head_;
    mutex_.Unlock();
    heads_->Note(last).IgnoreError();
  }

  absl::Status Open() {
    absl::MutexLock lock(&mutex_);
    FOREKEY_ASSIGN_OR_RETURN(const int fd, OpenPrivate(path_ + ".head", O_RDWR));
    head_fd_.Reset(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, ": another process writes this audit log"));
    }
    std::string record(kHeadRecordSize, '\0');
    const ssize_t size = pread(fd, record.data(), record.size(), 0);
    if (size < 0) return ErrnoError("read", path_ + ".head");
    if (size > 0) {
      // A head that can't be read may be hiding lines that were cut off: no guess is made.
      const auto head = ParseHead(absl::string_view(record).substr(0, static_cast<size_t>(size)));
      if (!head) {
        return absl::FailedPreconditionError(absl::StrCat(
            path_, ".head: is not the head of an audit log: verify the log, then remove it"));
      }
      head_ = *head;
    }
    return OpenLocked();
  }

  absl::Status Write(const Decision& decision) override {
    const std::string json = DecisionToJson(decision);
    // One thread writes; the others wait, but not for ever: it may be held up by the disk.
    absl::MutexLock lock(&mutex_);
    auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_; };
    if (writing_ && slow_from_.Passed()) {
      return absl::UnavailableError(absl::StrCat(path_, ": writing is held up"));
    }
    if (!AwaitFor(mutex_, absl::Condition(&free), options_.slow)) {
      return absl::UnavailableError(absl::StrCat(path_, ": writing is slow: no turn within ",
                                                 absl::FormatDuration(options_.slow)));
    }
    FOREKEY_RETURN_IF_ERROR(FollowRotation());
    return Append(json);
  }

  absl::Status Maintain() override {
    if (heads_ == nullptr) return absl::OkStatus();
    AuditHead head;
    {
      absl::MutexLock lock(&mutex_);
      const BootTime now = Clock::System().BootNow();
      if (now < next_head_) return absl::OkStatus();
      next_head_ = now + options_.heads_interval;
      head = head_;
    }
    return heads_->Note(head);  // without the lock: lines are written while that file is slow
  }

 private:
  absl::Status Append(absl::string_view json, absl::string_view before = "")
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    AuditHead next = head_;
    const std::string line = absl::StrCat(before, ChainLine(json, next), "\n");
    const std::string record = SerializeHead(next);
    writing_ = true;
    slow_from_ = Deadline::In(options_.slow);
    mutex_.Unlock();
    absl::Status status;
    const ssize_t written = WriteOnce(fd_.get(), line);
    const bool whole = written == static_cast<ssize_t>(line.size());
    if (written < 0) status = ErrnoError("write", path_);
    if (written >= 0 && !whole) {
      status = absl::UnavailableError(
          absl::StrCat(path_, ": only a part of a line was written: disk full?"));
    }
    // Behind the line, so that after a kill between the two the file is ahead: that is put right at
    // the next opening, while a head without its line would look like one that was cut off.
    if (whole && pwrite(head_fd_.get(), record.data(), record.size(), 0) !=
                     static_cast<ssize_t>(record.size())) {
      status = ErrnoError("write", path_ + ".head");
    }
    mutex_.Lock();
    writing_ = false;
    if (whole) {
      head_ = std::move(next);
    } else if (written > 0) {
      CutBack(static_cast<size_t>(written));
    }
    return status;
  }

  // Takes a part of a line away again. Where even that fails, the next opening marks it.
  void CutBack(size_t written) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    struct stat info;
    if (fstat(fd_.get(), &info) != 0 || info.st_size < static_cast<off_t>(written) ||
        ftruncate(fd_.get(), info.st_size - static_cast<off_t>(written)) != 0) {
      inode_ = 0;
      next_check_ = BootTime();
    }
  }

  absl::Status OpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    FOREKEY_ASSIGN_OR_RETURN(const int fd, OpenPrivate(path_, O_RDWR | O_APPEND));
    OwnedFd opened;
    opened.Reset(fd);
    struct stat info;
    if (fstat(fd, &info) != 0) return ErrnoError("fstat", path_);
    FOREKEY_ASSIGN_OR_RETURN(FileEnd end, ReadEnd(path_, fd, info.st_size));
    fd_.Reset(opened.Release());
    device_ = info.st_dev;
    inode_ = info.st_ino;
    // The file may be one line ahead of the head beside it, and is when there is no head; a file
    // that is behind it lost lines, which the next line's number then shows.
    if (end.last && end.last->seq > head_.seq) head_ = *end.last;
    if (!end.torn.empty()) {
      return Append(absl::StrCat("{\"time\":\"", TimeNow(),
                                 "\",\"event\":\"log\",\"detail\":\"the line before was "
                                 "cut short\",\"torn_bytes\":",
                                 end.torn.size(), ",\"torn_sha256\":\"",
                                 absl::BytesToHexString(Sha256(end.torn)), "\"}"),
                    "\n");
    }
    if (info.st_size == 0) {
      return Append(absl::StrCat("{\"time\":\"", TimeNow(), "\",\"event\":\"log\",\"detail\":\"",
                                 head_.seq == 0 ? "a new log" : "a new file of the log", "\"}"));
    }
    return absl::OkStatus();
  }

  absl::Status FollowRotation() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const BootTime now = Clock::System().BootNow();
    if (now < next_check_) return absl::OkStatus();
    struct stat info;
    if (stat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
      next_check_ = now + kRotationCheckInterval;
      return absl::OkStatus();
    }
    return OpenLocked();
  }

  const std::string path_;
  const AuditOptions options_;
  absl::Mutex mutex_;
  // Written to by the one thread that set writing_, without the lock; replaced under it, while
  // nobody writes.
  OwnedFd fd_;
  OwnedFd head_fd_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  Deadline slow_from_ ABSL_GUARDED_BY(mutex_);  // of the writing under way
  AuditHead head_ ABSL_GUARDED_BY(mutex_);
  dev_t device_ ABSL_GUARDED_BY(mutex_) = 0;
  ino_t inode_ ABSL_GUARDED_BY(mutex_) = 0;
  BootTime next_check_ ABSL_GUARDED_BY(mutex_);
  BootTime next_head_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HeadsFile> heads_;  // null: they are noted nowhere else
};

// A chain of its own in each process: what a service manager collects may mix several. Where nobody
// reads it, a line fails after options.slow, and the next ones at once.
class StderrAuditSink final : public AuditSink {
 public:
  explicit StderrAuditSink(const AuditOptions& options) : slow_(options.slow) {}

  absl::Status Write(const Decision& decision) override {
    const std::string json = DecisionToJson(decision);
    absl::MutexLock lock(&mutex_);
    auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_; };
    if (!AwaitFor(mutex_, absl::Condition(&free), stuck_ ? absl::ZeroDuration() : slow_)) {
      return absl::UnavailableError("standard error: writing is held up");
    }
    writing_ = true;
    absl::Status status;
    if (!torn_.empty()) {
      status = Put(absl::StrCat("{\"time\":\"", TimeNow(),
                                "\",\"event\":\"log\",\"detail\":\"the line before was "
                                "cut short\",\"torn_bytes\":",
                                torn_.size(), ",\"torn_sha256\":\"",
                                absl::BytesToHexString(Sha256(torn_)), "\"}"),
                   "\n");
    }
    if (status.ok()) status = Put(json, "");
    writing_ = false;
    return status;
  }

 private:
  absl::Status Put(absl::string_view json, absl::string_view before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    AuditHead next = head_;
    const std::string line = absl::StrCat(before, ChainLine(json, next), "\n");
    const absl::Duration patience = stuck_ ? absl::ZeroDuration() : slow_;
    size_t written = 0;
    mutex_.Unlock();
    absl::Status status = WriteStandardError(line, patience, &written);
    mutex_.Lock();
    stuck_ = !status.ok();
    if (status.ok()) {
      head_ = std::move(next);
      torn_.clear();
    } else {
      torn_ += line.substr(0, written);
    }
    return status;
  }

  const absl::Duration slow_;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stuck_ ABSL_GUARDED_BY(mutex_) = false;  // the last line was not taken
  std::string torn_ ABSL_GUARDED_BY(mutex_);    // what lies behind the last whole line
  AuditHead head_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status AppendHeadToFile(const std::string& path, absl::string_view record) {
  OwnedFd fd;
  fd.Reset(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (fd.get() < 0) return ErrnoError("open", path);
  if (WriteOnce(fd.get(), record) != static_cast<ssize_t>(record.size())) {
    return ErrnoError("write", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AuditSink>> OpenAuditFile(const std::string& path,
                                                         const AuditOptions& options,
                                                         AppendToFile append_head) {
  auto sink = std::make_unique<FileAuditSink>(path, options, std::move(append_head));
  FOREKEY_RETURN_IF_ERROR(sink->Open());
  return sink;
}

std::unique_ptr<AuditSink> NewStderrAuditSink(const AuditOptions& options) {
  return std::make_unique<StderrAuditSink>(options);
}

}  // namespace forekey
