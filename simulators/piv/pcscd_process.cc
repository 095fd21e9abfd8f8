// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/pcscd_process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "simulators/unix_socket.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

namespace fs = std::filesystem;

// The folder of ProcessSocket(), removed when the process ends.
struct ProcessFolder {
  ~ProcessFolder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
  absl::Mutex mutex;
  std::string path;
};

}  // namespace

absl::StatusOr<std::string> FindReaderDriver() {
  constexpr char kName[] = "forekey-ifd.so";
  if (const char* told = getenv("FOREKEY_IFD"); told != nullptr) return std::string(told);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& folder : {program, program / "../lib/forekey"}) {
    const fs::path candidate = folder / kName;
    if (fs::exists(candidate, error)) return fs::canonical(candidate, error).string();
  }
  return absl::NotFoundError(absl::StrCat("no ", kName, " beside ", program.string(),
                                          ": build the target forekey_ifd, or set FOREKEY_IFD"));
}

absl::StatusOr<std::string> PcscdProcess::ProcessSocket() {
  static ProcessFolder folder;
  absl::MutexLock lock(&folder.mutex);
  if (folder.path.empty()) {
    std::string path = "/tmp/forekey-pcscd-XXXXXX";
    if (mkdtemp(path.data()) == nullptr)
      return absl::ErrnoToStatus(errno, "can't make a folder in /tmp");
    folder.path = path;
    setenv("PCSCLITE_CSOCK_NAME", (path + "/pcscd.sock").c_str(), 1);
  }
  return folder.path + "/pcscd.sock";
}

absl::StatusOr<std::unique_ptr<PcscdProcess>> PcscdProcess::Start(
    const std::string& directory, const std::string& socket,
    const std::vector<PcscdReader>& readers) {
  FOREKEY_ASSIGN_OR_RETURN(std::string driver, FindReaderDriver());
  std::unique_ptr<PcscdProcess> process(new PcscdProcess(directory, socket, driver));
  FOREKEY_RETURN_IF_ERROR(process->Restart(readers));
  return process;
}

absl::Status PcscdProcess::Restart(const std::vector<PcscdReader>& readers) {
  Stop();
  std::string text;
  for (const PcscdReader& reader : readers) {
    absl::StrAppend(&text, "FRIENDLYNAME \"", reader.name, "\"\nDEVICENAME ", reader.card_socket,
                    "\nLIBPATH ", driver_, "\n\n");
  }
  const std::string folder = directory_ + "/reader.conf.d";
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(folder));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(folder + "/readers", text));
  if (&readers != &readers_) readers_ = readers;
  return Run();
}

absl::Status PcscdProcess::Run() {
  FOREKEY_ASSIGN_OR_RETURN(UniqueFd listener, ListenOnUnixSocket(socket_, SOCK_STREAM));
  SpawnOptions options;
  // sd_listen_fds() wants the number of the process that reads it: the shell's own, which exec
  // keeps.
  options.argv = {"/bin/sh", "-c", "LISTEN_PID=$$ exec pcscd --foreground --error --config \"$1\"",
                  "sh", directory_ + "/reader.conf.d"};
  const char* path = getenv("PATH");
  options.environment = {"LISTEN_FDS=1", "FOREKEY_IFD_LIFELINE=1",
                         absl::StrCat("PATH=", path ? path : "/usr/bin:/bin", ":/usr/sbin")};
  options.listening_fd = listener.get();
  options.output_path = directory_ + "/pcscd.log";
  FOREKEY_ASSIGN_OR_RETURN(child_, ChildProcess::Spawn(options));
  return absl::OkStatus();
}

void PcscdProcess::Stop() {
  if (child_.pid() < 0) return;
  kill(child_.pid(), SIGTERM);
  child_.Wait(absl::Seconds(10)).status().IgnoreError();
  child_.Kill();
  unlink(socket_.c_str());
}

PcscdProcess::~PcscdProcess() { Stop(); }

}  // namespace forekey::piv
