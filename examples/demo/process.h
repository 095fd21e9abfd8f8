// SPDX-License-Identifier: Apache-2.0
// Child processes for the demo and the end-to-end tests: started with pipes, awaited by what they
// print, stopped by pid, and never left behind (they die with their parent).
#ifndef FOREKEY_EXAMPLES_DEMO_PROCESS_H_
#define FOREKEY_EXAMPLES_DEMO_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey::demo {

struct ProcessResult {
  int exit_status = -1;  // 128 + signal where a signal ended it
  std::string output;    // standard output
  std::string errors;    // standard error
};

// Not thread-safe.
class Process {
 public:
  struct Options {
    std::vector<std::string> arguments;    // [0] is the program's path
    std::vector<std::string> environment;  // "NAME=value", added to this process's own
    std::string error_file;                // standard error goes there; empty: it is kept
    bool input = false;                    // standard input is what is given to Write()
  };
  static absl::StatusOr<std::unique_ptr<Process>> Start(const Options& options);
  // Sends SIGTERM, waits up to five seconds, then SIGKILL.
  ~Process();

  // The next whole line of standard output. DeadlineExceeded, or Unavailable when the process ended
  // without one (with what it wrote on standard error).
  absl::StatusOr<std::string> ReadLine(absl::Duration timeout = absl::Seconds(60));
  // Waits for the end. DeadlineExceeded when it still runs.
  absl::StatusOr<ProcessResult> Wait(absl::Duration timeout = absl::Seconds(120));
  absl::Status Write(absl::string_view input);
  void Signal(int signal);
  pid_t pid() const { return pid_; }

 private:
  Process() = default;
  bool PumpOnce(absl::Time deadline);  // false at the deadline or when both pipes are closed
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  std::string output_;
  size_t consumed_ = 0;
  std::string errors_;
};

// Start and Wait.
absl::StatusOr<ProcessResult> Run(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment = {},
                                  absl::Duration timeout = absl::Seconds(120));

}  // namespace forekey::demo

#endif  // FOREKEY_EXAMPLES_DEMO_PROCESS_H_
