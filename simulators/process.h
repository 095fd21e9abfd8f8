// SPDX-License-Identifier: Apache-2.0
// Child processes of the simulators: started without a shell, with exactly the descriptors that
// they were given, in a process group of their own (so that ^C on a terminal reaches us alone and
// we can end them in order), and never left behind.
#ifndef FOREKEY_SIMULATORS_PROCESS_H_
#define FOREKEY_SIMULATORS_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace forekey {

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is looked for in PATH
  std::vector<std::string> environment;  // "NAME=value", over the caller's own
  std::vector<int> keep_fds;             // handed over under their own numbers
  int listening_fd = -1;    // handed over as descriptor 3, as systemd does (sd_listen_fds)
  std::string output_path;  // stdout and stderr are appended to it; empty: /dev/null
};

// A running child. Killed (its whole group) and reaped when it goes. Not thread-safe.
class ChildProcess {
 public:
  ChildProcess() = default;
  static absl::StatusOr<ChildProcess> Spawn(const SpawnOptions& options);
  ChildProcess(ChildProcess&& other) noexcept { *this = std::move(other); }
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess() { Kill(); }

  pid_t pid() const { return pid_; }
  // The exit status (128 + signal where a signal ended it). DeadlineExceeded when it still runs.
  absl::StatusOr<int> Wait(absl::Duration timeout);
  void Kill();

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// This process's own environment, as "NAME=value" strings.
std::vector<std::string> OwnEnvironment();

// Such strings: `own`, with `overrides` in place of those of the same name.
std::vector<std::string> MergedEnvironment(const std::vector<std::string>& own,
                                           const std::vector<std::string>& overrides);

// What exec takes: a pointer to each string, and a null at the end. They live as long as `strings`.
std::vector<char*> Pointers(std::vector<std::string>& strings);

// Runs a program to its end and returns what it printed on stdout and stderr. Internal, with that
// text, when it does not exit with 0.
absl::StatusOr<std::string> RunTool(const SpawnOptions& options,
                                    absl::Duration timeout = absl::Seconds(60));

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_PROCESS_H_
