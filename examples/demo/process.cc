// SPDX-License-Identifier: Apache-2.0
#include "examples/demo/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

extern char** environ;

namespace forekey::demo {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    absl::string_view text(*entry);
    absl::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = std::any_of(added.begin(), added.end(), [&](const std::string& other) {
      return absl::string_view(other).substr(0, name.size()) == name;
    });
    if (!replaced) merged.emplace_back(*entry);
  }
  return merged;
}

int MillisecondsUntil(absl::Time deadline) {
  int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000 * 1000));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const Options& options) {
  int in[2] = {-1, -1}, out[2], err[2];
  if (options.input && pipe2(in, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  if (pipe2(out, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  if (pipe2(err, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  std::vector<std::string> environment = MergedEnvironment(options.environment);
  std::vector<char*> argv = Pointers(options.arguments), envp = Pointers(environment);
  const pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "fork");
  if (pid == 0) {
    // Only async-signal-safe calls: the parent may have threads.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(126);
    dup2(options.input ? in[0] : open("/dev/null", O_RDONLY), 0);
    dup2(out[1], 1);
    int errors = options.error_file.empty()
                     ? err[1]
                     : open(options.error_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(errors, 2);
    execvpe(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  if (in[0] >= 0) close(in[0]);
  close(out[1]);
  close(err[1]);
  auto process = std::unique_ptr<Process>(new Process);
  process->pid_ = pid;
  process->in_ = in[1];
  process->out_ = out[0];
  process->err_ = err[0];
  return process;
}

Process::~Process() {
  if (!reaped_) {
    kill(pid_, SIGTERM);
    if (!Wait(absl::Seconds(5)).ok()) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  for (int fd : {in_, out_, err_}) {
    if (fd >= 0) close(fd);
  }
}

absl::Status Process::Write(absl::string_view input) {
  while (!input.empty()) {
    const ssize_t written = write(in_, input.data(), input.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::ErrnoToStatus(errno, "write to a program");
    input.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

bool Process::PumpOnce(absl::Time deadline) {
  pollfd fds[2] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
  if (out_ < 0 && err_ < 0) return false;
  int ready = poll(fds, 2, MillisecondsUntil(deadline));
  if (ready < 0 && errno == EINTR) return true;
  if (ready <= 0) return false;
  char buffer[16384];
  auto drain = [&](int* pipe, std::string* text, const pollfd& polled) {
    if (*pipe < 0 || polled.revents == 0) return;
    ssize_t n = read(*pipe, buffer, sizeof(buffer));
    if (n > 0) {
      text->append(buffer, n);
    } else if (n == 0 || errno != EINTR) {
      close(*pipe);
      *pipe = -1;
    }
  };
  drain(&out_, &output_, fds[0]);
  drain(&err_, &errors_, fds[1]);
  return true;
}

absl::StatusOr<std::string> Process::ReadLine(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    size_t end = output_.find('\n', consumed_);
    if (end != std::string::npos) {
      std::string line = output_.substr(consumed_, end - consumed_);
      consumed_ = end + 1;
      return line;
    }
    if (out_ < 0) {
      while (PumpOnce(deadline)) {
      }
      return absl::UnavailableError(absl::StrCat("the process ended: ", errors_));
    }
    if (!PumpOnce(deadline)) {
      return absl::DeadlineExceededError(absl::StrCat("no line in time; it wrote: ", errors_));
    }
  }
}

absl::StatusOr<ProcessResult> Process::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  // A pidfd becomes readable when the process ends; its children may hold the pipes for longer.
  int pidfd = reaped_ ? -1 : static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  while (!reaped_) {
    pollfd fds[3] = {{pidfd, POLLIN, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}};
    int ready = poll(fds, 3, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      close(pidfd);
      return absl::DeadlineExceededError(absl::StrCat("pid ", pid_, " still runs"));
    }
    if (fds[1].revents != 0 || fds[2].revents != 0) {
      PumpOnce(absl::Now());
    } else if (fds[0].revents != 0) {
      waitpid(pid_, &status_, 0);
      reaped_ = true;
    }
  }
  if (pidfd >= 0) close(pidfd);
  while (PumpOnce(absl::Now())) {
  }
  ProcessResult result;
  result.exit_status = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  result.output = output_.substr(consumed_);
  result.errors = errors_;
  return result;
}

absl::StatusOr<ProcessResult> Run(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment,
                                  absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<Process>> process =
      Process::Start({.arguments = arguments, .environment = environment, .error_file = ""});
  if (!process.ok()) return process.status();
  return (*process)->Wait(timeout);
}

}  // namespace forekey::demo
