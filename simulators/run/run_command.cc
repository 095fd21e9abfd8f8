// SPDX-License-Identifier: Apache-2.0
#include "simulators/run/run_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "simulators/process.h"
#include "simulators/run/token_bench.h"
#include "src/base/status.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

constexpr int kNoTokens = 125;  // as env(1), nohup(1) and timeout(1) say it
constexpr int kNoStart = 126;
constexpr int kNoCommand = 127;

struct RunOptions {
  TokenBenchOptions bench;
  std::vector<std::string> command;
};

// A folder that is removed even where this process is killed: by a process of its own, which waits
// for the end of a pipe that this one holds. Made before there are threads, since it forks.
class GuardedFolder {
 public:
  ~GuardedFolder() {
    held_.reset();
    if (guard_ > 0) waitpid(guard_, nullptr, 0);
  }

  absl::Status Make() {
    const char* base = getenv("TMPDIR");
    // A unix socket's path has 108 bytes.
    path_ = base != nullptr && *base == '/' && strlen(base) < 40 ? base : "/tmp";
    path_ += "/forekey-sim-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
      return absl::ErrnoToStatus(errno, absl::StrCat("can't make a folder like ", path_));
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
    UniqueFd waits(ends[0]);
    held_.reset(ends[1]);
    guard_ = fork();
    if (guard_ < 0) return absl::ErrnoToStatus(errno, "fork");
    if (guard_ == 0) Guard(waits.get());
    return absl::OkStatus();
  }

  const std::string& path() const { return path_; }
  pid_t guard() const { return guard_; }

 private:
  [[noreturn]] void Guard(int waits) {
    setsid();  // ^C is not for it
    held_.reset();
    const int nowhere = open("/dev/null", O_RDWR);
    // Whoever reads what the command wrote must not wait for this process.
    for (int fd : {0, 1, 2}) dup2(nowhere, fd);
    char none;
    while (read(waits, &none, 1) < 0 && errno == EINTR) {
    }
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    _exit(0);
  }

  std::string path_;
  UniqueFd held_;
  pid_t guard_ = -1;
};

// Starts it in this process group, so that a terminal's ^C reaches both. It is killed when this
// process is. A negative number is the errno that says why it could not be started.
pid_t StartCommand(std::vector<std::string> command, std::vector<std::string> environment,
                   const sigset_t& mask) {
  std::vector<char*> arguments = Pointers(command), variables = Pointers(environment);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  UniqueFd reader(ends[0]), writer(ends[1]);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child < 0) return -errno;
  if (child == 0) {
    // Simulators have threads: between fork and exec nothing may allocate.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(kNoTokens);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    execvpe(arguments[0], arguments.data(), variables.data());
    const int error = errno;
    if (write(ends[1], &error, sizeof error) < 0) _exit(kNoStart);
    _exit(kNoStart);
  }
  writer.reset();
  int error = 0;
  if (read(reader.get(), &error, sizeof error) != sizeof error) return child;
  waitpid(child, nullptr, 0);
  return -error;
}

// This process's children by now, but for the guard. Empty where there is no /proc.
std::vector<pid_t> ChildrenBut(pid_t guard) {
  std::vector<pid_t> children;
  std::error_code error;
  for (fs::directory_iterator task("/proc/self/task", error), end; !error && task != end;
       task.increment(error)) {
    std::ifstream list(task->path() / "children");
    for (pid_t pid; list >> pid;) {
      if (pid != guard) children.push_back(pid);
    }
  }
  return children;
}

// What the command's processes left to this one and what has ended since. The simulators' own
// processes lead groups of this session, and are theirs to wait for.
void ReapOrphans(pid_t child, pid_t guard) {
  const pid_t session = getsid(0);
  for (pid_t pid : ChildrenBut(guard)) {
    if (pid == child || (getpgid(pid) == pid && getsid(pid) == session)) continue;
    waitpid(pid, nullptr, WNOHANG);
  }
}

// Waits for its end, and passes on what asks this process to end. 128 and the signal's number where
// a signal ended it.
int AwaitCommand(pid_t child, pid_t guard, const sigset_t& signals) {
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return kNoStart;  // it is nobody's to wait for
    ReapOrphans(child, guard);
    siginfo_t signal;
    if (sigwaitinfo(&signals, &signal) < 0) continue;
    // What a terminal sends is the whole group's: the command has it already.
    if (signal.si_signo != SIGCHLD && signal.si_code <= 0) kill(child, signal.si_signo);
  }
}

// What the command left running, and what that left: this process is their next parent. One that
// may not be killed (it runs as somebody else) is said and left alone.
void EndLeftovers(pid_t guard) {
  std::set<pid_t> spared;
  while (true) {
    bool any = false;
    for (pid_t pid : ChildrenBut(guard)) {
      if (spared.count(pid) > 0) continue;
      any = true;
      if (kill(pid, SIGKILL) == 0) {
        waitpid(pid, nullptr, 0);
        continue;
      }
      std::fprintf(stderr, "forekey-sim run: process %d is left running: %s\n", pid,
                   strerror(errno));
      spared.insert(pid);
    }
    if (!any) return;
  }
}

// What came in the meantime asked for what is over.
void Unblock(const sigset_t& signals, const sigset_t& before) {
  const timespec at_once = {};
  while (sigtimedwait(&signals, nullptr, &at_once) > 0) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

int Fail(int code, absl::string_view what) {
  std::fprintf(stderr, "forekey-sim run: %s\n", std::string(what).c_str());
  return code;
}

int Run(const RunOptions& options) {
  const TokenBenchOptions& bench_options = options.bench;
  if (!bench_options.tpm && !bench_options.fido2 && !bench_options.piv) {
    return Fail(kNoTokens, "which tokens? --tpm, --fido2, --piv, or several of them");
  }
  const std::vector<std::string> own = OwnEnvironment();
  // Where a parent ignores it, as some runners of CI do, children end without a word.
  signal(SIGCHLD, SIG_DFL);
  GuardedFolder folder;
  if (absl::Status made = folder.Make(); !made.ok()) return Fail(kNoTokens, made.message());
  // Whatever the simulators put into a temporary folder goes with this one.
  setenv("TMPDIR", folder.path().c_str(), /*overwrite=*/1);
  // Blocked before any thread starts, so that sigwaitinfo is the only one to see them.
  sigset_t signals, before;
  sigemptyset(&signals);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  prctl(PR_SET_CHILD_SUBREAPER, 1);

  auto bench = TokenBench::Start(folder.path(), bench_options);
  if (!bench.ok()) return Fail(kNoTokens, bench.status().message());
  const pid_t child =
      StartCommand(options.command, MergedEnvironment(own, (*bench)->environment()), before);
  if (child < 0) {
    return Fail(child == -ENOENT ? kNoCommand : kNoStart,
                absl::StrCat(options.command.front(), ": ", strerror(-child)));
  }
  const int status = AwaitCommand(child, folder.guard(), signals);
  Unblock(signals, before);  // whoever has no patience with what follows may end this process
  bench->reset();
  EndLeftovers(folder.guard());
  return status;
}

constexpr char kFooter[] =
    "Examples:\n  forekey-sim run --tpm --fido2 --piv -- make test\n"
    "  forekey-sim run --tpm -- tpm2_getrandom --hex 8\n"
    "The command finds in its environment, for the tokens that were asked for:\n"
    "  FOREKEY_SIM_TPM, FOREKEY_SIM_FIDO2, FOREKEY_SIM_PIV   URIs for forekey-agent --device\n"
    "  FOREKEY_SIM_TRUST               a folder with the CAs to trust, in tpm, fido2 and piv\n"
    "  FOREKEY_SIM_TPM_REQUESTS, FOREKEY_SIM_FIDO2_REQUESTS, FOREKEY_SIM_PIV_REQUESTS\n"
    "                                  sockets for touches and misbehaviour at run time\n"
    "  TPM2TOOLS_TCTI, TPM2OPENSSL_TCTI, FOREKEY_SIM_FIDO2_DEVICE (for fido2-tools),\n"
    "  PCSCLITE_CSOCK_NAME             for programs that know nothing of Forekey\n"
    "What the command left running is killed at its end, and all files of the tokens are removed.\n"
    "SIGTERM, SIGINT, SIGHUP and SIGQUIT are passed on to the command. Send them to this process\n"
    "alone: sent to its whole group (kill -- -PGID), the command gets them twice. ^C comes once.\n"
    "Exit status: the command's; 128 and the signal's number where one ended it; 125 the tokens\n"
    "could not be started, 126 the command could not, 127 there is no such command.";

}  // namespace

void AddRunCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand(
      "run", "Runs a command with tokens of all kinds around it, and leaves nothing behind.");
  command->add_flag("--tpm", options->bench.tpm, "A TPM 2.0 with EK certificates");
  command->add_flag("--fido2", options->bench.fido2, "A FIDO2 security key");
  command->add_flag("--piv", options->bench.piv, "A YubiKey's PIV application, behind a pcscd");
  command->add_option("--state", options->bench.state,
                      "Folder that keeps the tokens, to use the same ones again later; made if "
                      "missing. Default: new ones each time");
  command->add_option("--fido2-pin", options->bench.fido2_pin,
                      "Sets this PIN of the security key at the start, where it has none");
  command->add_flag("--manual-touch", options->bench.manual_touch,
                    "Touches come by requests; else each is there at once");
  command->add_option("command", options->command, "The command, behind --")
      ->type_name("COMMAND")
      ->required();
  command->footer(kFooter);
  command->callback([options, exit_code] { *exit_code = Run(*options); });
}

}  // namespace forekey
