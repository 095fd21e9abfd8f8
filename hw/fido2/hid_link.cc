// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/hid_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr uint8_t kHidKeepalive = 0xbb;
constexpr uint8_t kHidError = 0xbf;
constexpr uint8_t kStatusTouch = 2;
constexpr uint8_t kHidBusy = 0x06;
constexpr int kPollMs = 20;  // how soon a caller that gave up is noticed
// A token that works says so every 100 ms.
constexpr absl::Duration kLongestSilence = absl::Seconds(20);
// How long a token may take to answer CTAPHID_CANCEL.
constexpr absl::Duration kCancelPatience = absl::Seconds(2);

absl::Status OpenFailed(const FidoAddress& address, int error) {
  const std::string what = absl::StrCat("open ", address.path, ": ", strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
      return DeviceFailure(DeviceError::kNoAccess,
                           absl::StrCat(what,
                                        ": this user may not use security keys; seated users get "
                                        "access by udev's rules (70-uaccess), services by a "
                                        "rule with a group"));
    case EBUSY:
    case EAGAIN:
      return DeviceFailure(DeviceError::kBusy, absl::StrCat(what, ": another program has the key"));
    default:
      return DeviceFailure(DeviceError::kGone, absl::StrCat(what, ": the key is not plugged in"));
  }
}

int ConnectTo(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::copy(path.begin(), path.end(), name.sun_path);
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

absl::Status FidoWait::CheckCancelled() const {
  if (!cancelled || !cancelled()) return absl::OkStatus();
  return DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the security key");
}

absl::StatusOr<std::unique_ptr<HidLink>> HidLink::Open(const FidoAddress& address) {
  const int fd = address.simulator ? ConnectTo(address.path)
                                   : open(address.path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return OpenFailed(address, errno);
  struct stat node;
  if (!address.simulator && (fstat(fd, &node) != 0 || !S_ISCHR(node.st_mode))) {
    close(fd);
    return OpenFailed(address, ENOTTY);
  }
  return std::unique_ptr<HidLink>(new HidLink(fd));
}

HidLink::~HidLink() { close(fd_); }

void HidLink::Begin(const FidoWait* wait, std::function<void()> cancel) {
  wait_ = wait;
  cancel_ = std::move(cancel);
  busy_ = silent_ = touch_wanted_ = touch_shown_ = false;
  stop_ = Stop::kNone;
}

void HidLink::End() {
  if (touch_shown_) wait_->prompt->HideTouch();
  wait_ = nullptr;
  cancel_ = nullptr;
}

// Once: the token is asked to end what it does, and given a moment to say that it has.
bool HidLink::MustStop() {
  if (stop_ == Stop::kNone && wait_ != nullptr) {
    if (wait_->cancelled && wait_->cancelled())
      stop_ = Stop::kCancelled;
    else if (wait_->deadline.Passed())
      stop_ = Stop::kDeadline;
    if (stop_ != Stop::kNone) {
      answer_by_ = Deadline::In(kCancelPatience);
      in_cancel_ = true;
      if (cancel_) cancel_();
      in_cancel_ = false;
    }
  }
  return stop_ != Stop::kNone && answer_by_.Passed();
}

void HidLink::Look(const unsigned char* report) {
  if (report[4] == kHidError && report[7] == kHidBusy) busy_ = true;
  if (report[4] != kHidKeepalive || report[7] != kStatusTouch) return;
  touch_wanted_ = true;
  if (touch_shown_ || wait_ == nullptr || wait_->prompt == nullptr) return;
  touch_shown_ = true;
  wait_->prompt->ShowTouch(wait_->description);
}

int HidLink::Read(unsigned char* report, size_t size, int timeout_ms) {
  const Deadline silence = Deadline::In(kLongestSilence);
  const Deadline until =
      timeout_ms < 0 ? Deadline::Never() : Deadline::In(absl::Milliseconds(timeout_ms));
  while (!gone_) {
    if (MustStop()) return -1;
    pollfd ready = {fd_, POLLIN, 0};
    const int got = poll(&ready, 1, until.LeftMillis(kPollMs));
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) {
      const ssize_t n = read(fd_, report, size);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n != static_cast<ssize_t>(size)) break;
      Look(report);
      return static_cast<int>(n);
    }
    if (until.Passed()) return -1;
    if (silence.Passed()) {
      silent_ = true;
      return -1;
    }
  }
  gone_ = true;
  return -1;
}

int HidLink::Write(const unsigned char* report, size_t size) {
  if (gone_) return -1;
  // A caller that gave up before the first byte: nothing is begun.
  if (!in_cancel_ && stop_ == Stop::kNone && wait_ != nullptr && wait_->cancelled &&
      wait_->cancelled()) {
    stop_ = Stop::kCancelled;
    answer_by_ = Deadline::In(kCancelPatience);
    return -1;
  }
  ssize_t n;
  do {
    n = send(fd_, report, size, MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = write(fd_, report, size);
  } while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(size)) {
    gone_ = true;
    return -1;
  }
  return static_cast<int>(n);
}

}  // namespace forekey
