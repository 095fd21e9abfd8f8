// SPDX-License-Identifier: Apache-2.0
#include "src/base/standard_error.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "src/base/deadline.h"

namespace forekey {
namespace {

// O_NONBLOCK belongs to the open file, which other processes may share: a pipe is opened once more.
// Where that can't be, what poll(2) says is believed: there is room for PIPE_BUF bytes.
int OwnDescription() {
  return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

ssize_t WriteSome(int fd, bool socket, absl::string_view bytes) {
  if (socket) return send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return write(fd, bytes.data(), std::min<size_t>(bytes.size(), PIPE_BUF));
}

// False where it can't be written to until then.
bool AwaitRoom(int fd, const Deadline& until) {
  for (;;) {
    pollfd polled = {fd, POLLOUT, 0};
    const int ready = poll(&polled, 1, until.LeftMillis());
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

absl::Status WriteStandardError(absl::string_view bytes, absl::Duration patience, size_t* written) {
  struct stat info = {};
  if (fstat(STDERR_FILENO, &info) != 0) return absl::ErrnoToStatus(errno, "standard error");
  const int own = S_ISFIFO(info.st_mode) ? OwnDescription() : -1;
  absl::Cleanup close_own = [own] {
    if (own >= 0) close(own);
  };
  const int fd = own >= 0 ? own : STDERR_FILENO;
  const Deadline until = Deadline::In(patience);
  const size_t size = bytes.size();
  while (!bytes.empty()) {
    if (written != nullptr) *written = size - bytes.size();
    if (!AwaitRoom(fd, until))
      return absl::DeadlineExceededError("standard error: nobody reads it");
    const ssize_t some = WriteSome(fd, S_ISSOCK(info.st_mode), bytes);
    if (some > 0)
      bytes.remove_prefix(static_cast<size_t>(some));
    else if (some < 0 && errno != EAGAIN && errno != EINTR)
      return absl::ErrnoToStatus(errno, "standard error");
  }
  if (written != nullptr) *written = size;
  return absl::OkStatus();
}

}  // namespace forekey
