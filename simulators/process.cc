// SPDX-License-Identifier: Apache-2.0
#include "simulators/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/status.h"

extern char** environ;

namespace forekey {
namespace {

int MillisecondsUntil(absl::Time deadline) {
  int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now()) + 1;
  return left < 0 ? 0 : left > 1'000'000 ? 1'000'000 : static_cast<int>(left);
}

absl::StatusOr<ChildProcess> SpawnTo(const SpawnOptions& options, int output_fd, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_fd, 1);
  posix_spawn_file_actions_adddup2(&actions, output_fd, 2);
  // dup2 onto itself takes FD_CLOEXEC off in the child alone.
  for (int fd : options.keep_fds) posix_spawn_file_actions_adddup2(&actions, fd, fd);
  if (options.listening_fd >= 0)
    posix_spawn_file_actions_adddup2(&actions, options.listening_fd, 3);
  sigset_t none, all_default;
  sigemptyset(&none);
  sigemptyset(&all_default);
  for (int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) sigaddset(&all_default, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all_default);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> argv = options.argv;
  std::vector<std::string> environment = MergedEnvironment(OwnEnvironment(), options.environment);
  int error = posix_spawnp(pid, argv[0].c_str(), &actions, &attributes, Pointers(argv).data(),
                           Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("can't start ", argv[0], ": is it installed?"));
  }
  return ChildProcess();
}

}  // namespace

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> lines;
  for (char** entry = environ; *entry != nullptr; ++entry) lines.emplace_back(*entry);
  return lines;
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& own,
                                           const std::vector<std::string>& overrides) {
  std::vector<std::string> merged = overrides;
  for (const std::string& line : own) {
    const std::string name = line.substr(0, line.find('=') + 1);
    bool overridden = false;
    for (const std::string& other : overrides) {
      overridden = overridden || absl::StartsWith(other, name);
    }
    if (!overridden) merged.push_back(line);
  }
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) reset(other.release());
  return *this;
}

int UniqueFd::release() { return std::exchange(fd_, -1); }

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    Kill();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

absl::StatusOr<ChildProcess> ChildProcess::Spawn(const SpawnOptions& options) {
  const char* path = options.output_path.empty() ? "/dev/null" : options.output_path.c_str();
  UniqueFd output(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!output) return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", path));
  pid_t pid = -1;
  FOREKEY_ASSIGN_OR_RETURN(ChildProcess child, SpawnTo(options, output.get(), &pid));
  child.pid_ = pid;
  child.pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!child.pidfd_) return absl::ErrnoToStatus(errno, "pidfd_open");
  return child;
}

absl::StatusOr<int> ChildProcess::Wait(absl::Duration timeout) {
  if (pid_ < 0) return absl::FailedPreconditionError("the child was waited for already");
  absl::Time deadline = absl::Now() + timeout;
  pollfd poll_fd{pidfd_.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&poll_fd, 1, MillisecondsUntil(deadline));
  } while ((ready < 0 && errno == EINTR) || (ready == 0 && absl::Now() < deadline));
  if (ready <= 0) return absl::DeadlineExceededError(absl::StrCat("process ", pid_, " still runs"));
  int status = 0;
  if (waitpid(pid_, &status, 0) < 0) return absl::ErrnoToStatus(errno, "waitpid");
  pid_ = -1;
  pidfd_.reset();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  pidfd_.reset();
}

absl::StatusOr<std::string> RunTool(const SpawnOptions& options, absl::Duration timeout) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  UniqueFd reader(ends[0]), writer(ends[1]);
  SpawnOptions with_output = options;
  with_output.output_path = absl::StrCat("/proc/self/fd/", writer.get());
  FOREKEY_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(with_output));
  writer.reset();
  std::string output;
  absl::Time deadline = absl::Now() + timeout;
  while (true) {
    pollfd poll_fd{reader.get(), POLLIN, 0};
    int ready = poll(&poll_fd, 1, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0)
      return absl::DeadlineExceededError(absl::StrCat(options.argv[0], " hangs: ", output));
    char buffer[4096];
    ssize_t got = read(reader.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    output.append(buffer, got);
  }
  FOREKEY_ASSIGN_OR_RETURN(int exit_status, child.Wait(deadline - absl::Now() + absl::Seconds(1)));
  if (exit_status != 0) {
    return absl::InternalError(absl::StrCat(absl::StrJoin(options.argv, " "), " exited with ",
                                            exit_status, ":\n", output));
  }
  return output;
}

}  // namespace forekey
