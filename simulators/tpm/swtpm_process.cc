// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/swtpm_process.h"

#include <errno.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status MakePair(UniqueFd* ours, UniqueFd* theirs) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  ours->reset(ends[0]);
  theirs->reset(ends[1]);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SwtpmProcess>> SwtpmProcess::Start(const std::string& directory) {
  std::unique_ptr<SwtpmProcess> process(new SwtpmProcess);
  UniqueFd data, control;
  FOREKEY_RETURN_IF_ERROR(MakePair(&process->data_, &data));
  FOREKEY_RETURN_IF_ERROR(MakePair(&process->control_, &control));
  SpawnOptions options;
  options.argv = {"swtpm",
                  "socket",
                  "--tpm2",
                  "--tpmstate",
                  absl::StrCat("dir=", directory, "/swtpm"),
                  "--fd",
                  absl::StrCat(data.get()),
                  "--ctrl",
                  absl::StrCat("type=unixio,clientfd=", control.get()),
                  "--flags",
                  "not-need-init,startup-clear"};
  options.keep_fds = {data.get(), control.get()};
  options.output_path = absl::StrCat(directory, "/swtpm.log");
  FOREKEY_ASSIGN_OR_RETURN(process->child_, ChildProcess::Spawn(options));
  data.reset();
  control.reset();
  // The first answer says that it is up; a swtpm that could not start closes the socket instead.
  if (auto handles = process->raw().Handles(0x80000000); !handles.ok()) {
    return absl::InternalError(absl::StrCat("swtpm did not start (", handles.status().message(),
                                            "): see ", options.output_path));
  }
  return process;
}

absl::Status SwtpmProcess::PowerCycle() {
  FOREKEY_RETURN_IF_ERROR(raw().ShutdownClear());
  const std::string init = ByteWriter().U32(2).U32(0).bytes();  // CMD_INIT (tpm_ioctl.h), no flags
  std::string result(4, '\xff');
  if (send(control_.get(), init.data(), init.size(), MSG_NOSIGNAL) != 8 ||
      recv(control_.get(), result.data(), 4, MSG_WAITALL) != 4 || result != std::string(4, '\0')) {
    return absl::InternalError("swtpm did not start anew");
  }
  return raw().StartupClear();
}

absl::Status SwtpmProcess::Stop() {
  if (!data_) return absl::OkStatus();
  absl::Status shutdown = raw().ShutdownClear();
  data_.reset();
  control_.reset();
  auto exit_status = child_.Wait(absl::Seconds(10));
  child_.Kill();
  if (!shutdown.ok()) return shutdown;
  return exit_status.status();
}

SwtpmProcess::~SwtpmProcess() { Stop().IgnoreError(); }

}  // namespace forekey
