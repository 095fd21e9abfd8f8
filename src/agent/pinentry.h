// SPDX-License-Identifier: Apache-2.0
// One running pinentry program, spoken to by Assuan on its standard input and output.
#ifndef FOREKEY_SRC_AGENT_PINENTRY_H_
#define FOREKEY_SRC_AGENT_PINENTRY_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// kPinRequired: nobody could be asked, because of `what`.
absl::Status NoAnswer(absl::string_view what);

// Ended with the object. Not thread-safe.
class Pinentry {
 public:
  struct Options {
    std::string program;  // a path, or a name to look for in PATH
    std::vector<std::string> environment;
    std::string tty;                  // where it asks, if at a terminal
    std::function<bool()> cancelled;  // nobody waits for the answer any more; may be empty
  };
  static absl::StatusOr<std::unique_ptr<Pinentry>> Start(Options options);
  ~Pinentry();
  Pinentry(const Pinentry&) = delete;
  Pinentry& operator=(const Pinentry&) = delete;

  // Its greeting; at once after Start().
  absl::Status Greeting() { return Answer().status(); }
  // A line without its end, and the data that answers it, unescaped. kCancelled where the person
  // gave up, or Options::cancelled said so; else kPinRequired: it has ended, its terminal has gone,
  // two minutes have passed, or what it says.
  absl::StatusOr<Secret> Do(absl::string_view line);
  // The last error was that it does not know the type of the terminal.
  bool terminal_unknown() const { return terminal_unknown_; }

 private:
  Pinentry(int fd, pid_t pid, Options options);
  absl::Status Send(absl::string_view line);
  absl::StatusOr<Secret> Answer();
  absl::Status Refusal(absl::string_view error) const;
  absl::StatusOr<Secret> ReadLine();

  const int fd_;
  const pid_t pid_;
  const Options options_;
  std::string buffer_;
  bool terminal_unknown_ = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PINENTRY_H_
