// SPDX-License-Identifier: Apache-2.0
#include "src/agent/token_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "openssl/crypto.h"
#include "src/agent/child_program.h"
#include "src/agent/gate_account.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/id_token.h"
#include "src/wire/json_object.h"
#include "src/wire/sealed_factors.h"

extern char** environ;

namespace forekey {
namespace {

using CommandJson = nlohmann::json;

constexpr size_t kMaxOutput = kMaxIdTokenSize + 64;  // a token, and white space around it
constexpr size_t kMaxComplaint = 2048;
constexpr size_t kPipeCapacity = 64 << 10;
constexpr absl::Duration kCommandPoll = absl::Milliseconds(50);
constexpr size_t kMaxArguments = 64;
constexpr int64_t kMaxTimeoutSeconds = 600;

absl::Status BadCommand(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the ID token command's file: ", what));
}

absl::StatusOr<std::string> CommandText(const CommandJson& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string() || member->get<std::string>().empty()) {
    return BadCommand(absl::StrCat(name, " must be a string"));
  }
  return member->get<std::string>();
}

// The command while it runs: a process group of its own, which ends with this object.
class RunningCommand {
 public:
  static absl::StatusOr<std::unique_ptr<RunningCommand>> Start(
      const std::vector<std::string>& argv, std::vector<std::string> environment);
  ~RunningCommand() {
    close(out_);
    close(err_);
    OPENSSL_cleanse(output_.data(), output_.size());
    if (pid_ > 0) End();
  }

  // Reads until both outputs are closed and the command has ended. OK: it exited with 0.
  absl::Status Finish(const Deadline& deadline, const CallControl& call,
                      const TokenCommand::Said& said);
  Secret TakeOutput() {
    Secret token = Secret::CopyOf(absl::StripAsciiWhitespace(output_));
    return token;
  }
  std::string Complaint() const {
    // It goes to terminals and logs, where it may not move the cursor.
    std::string text;
    for (absl::string_view line : absl::StrSplit(complaint_, '\n', absl::SkipWhitespace())) {
      absl::StrAppend(&text, text.empty() ? ": " : "\n",
                      Shown(absl::StripTrailingAsciiWhitespace(line)));
    }
    return text;
  }

 private:
  RunningCommand(pid_t pid, int out, int err) : pid_(pid), out_(out), err_(err) {
    output_.reserve(kMaxOutput + 1);  // no reallocation leaves a token behind
  }
  int End();  // gives its status
  absl::Status ReadSome(absl::Duration patience);

  pid_t pid_;
  int out_, err_;
  // Tells what lines are whole; with `all`, the last one, too.
  void Tell(const TokenCommand::Said& said, bool all);

  std::string output_, complaint_;
  std::string line_;  // of its standard error, what was not told yet
};

absl::Status Failed(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("the ID token command ", what));
}

absl::StatusOr<std::unique_ptr<RunningCommand>> RunningCommand::Start(
    const std::vector<std::string>& argv, std::vector<std::string> environment) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0) return Failed("can't be run: no pipe");
  if (pipe2(err, O_CLOEXEC) != 0) {
    close(out[0]);
    close(out[1]);
    return Failed("can't be run: no pipe");
  }
  pid_t pid = -1;
  const int error = StartChild({.arguments = argv,
                                .environment = std::move(environment),
                                .out = out[1],
                                .err = err[1],
                                .own_group = true},
                               &pid);
  close(out[1]);
  close(err[1]);
  std::unique_ptr<RunningCommand> command(
      new RunningCommand(error == 0 ? pid : -1, out[0], err[0]));
  if (error != 0) return Failed(absl::StrCat(argv[0], " can't be run: ", strerror(error)));
  return command;
}

// Ends what is left of the group before the command itself is reaped: until then its number is its
// own.
int RunningCommand::End() {
  kill(-pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

absl::Status RunningCommand::ReadSome(absl::Duration patience) {
  pollfd ready[] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
  poll(ready, 2, static_cast<int>(absl::ToInt64Milliseconds(patience)));
  for (const pollfd& end : ready) {
    if ((end.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    char part[1024];
    const ssize_t n = read(end.fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      int& closed = end.fd == out_ ? out_ : err_;
      close(closed);
      closed = -1;  // poll() passes over it
    } else if (end.fd == out_) {
      if (output_.size() + static_cast<size_t>(n) > kMaxOutput) {
        return Failed("wrote more than a token has: 8192 bytes");
      }
      output_.append(part, static_cast<size_t>(n));
    } else {
      complaint_.append(part, std::min(static_cast<size_t>(n), kMaxComplaint - complaint_.size()));
      line_.append(part, static_cast<size_t>(n));
    }
    OPENSSL_cleanse(part, sizeof(part));
  }
  return absl::OkStatus();
}

void RunningCommand::Tell(const TokenCommand::Said& said, bool all) {
  for (size_t end; (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1)) {
    if (said) said(absl::string_view(line_).substr(0, end));
  }
  if (line_.empty() || (!all && line_.size() < kMaxComplaint)) return;
  if (said) said(line_);
  line_.clear();
}

absl::Status RunningCommand::Finish(const Deadline& deadline, const CallControl& call,
                                    const TokenCommand::Said& said) {
  siginfo_t ended = {};
  while (ended.si_pid != pid_) {
    if (call.Cancelled()) return absl::CancelledError("the caller gave up");
    const absl::Duration left = deadline.Left();
    if (left <= absl::ZeroDuration()) return Failed(absl::StrCat("took too long", Complaint()));
    const size_t before = line_.size();
    FOREKEY_RETURN_IF_ERROR(ReadSome(std::min(left, kCommandPoll)));
    Tell(said, /*all=*/line_.size() == before);
    // What it started in the background may keep its standard error for ever: nobody waits for
    // that.
    if (out_ < 0 &&
        waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 &&
        errno != EINTR) {
      return Failed("was lost");
    }
  }
  // What was written before the end: no more than a pipe holds.
  for (size_t i = 0; err_ >= 0 && i * 1024 < kPipeCapacity; ++i) {
    FOREKEY_RETURN_IF_ERROR(ReadSome(absl::ZeroDuration()));
    Tell(said, /*all=*/false);
  }
  Tell(said, /*all=*/true);
  const int status = End();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return Failed(absl::StrCat(WIFEXITED(status) ? "failed with status " : "was ended by signal ",
                             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                             Complaint()));
}

std::vector<std::string> CommandEnvironment(
    const std::vector<std::pair<std::string, std::string>>& own) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!absl::StartsWith(*variable, "FOREKEY_OIDC_") &&
        !absl::StartsWith(*variable, "FOREKEY_GATE=")) {
      environment.emplace_back(*variable);
    }
  }
  for (const auto& [name, value] : own) environment.push_back(absl::StrCat(name, "=", value));
  return environment;
}

}  // namespace

absl::StatusOr<TokenCommand> TokenCommand::Parse(absl::string_view json) {
  const absl::StatusOr<CommandJson> object = ParseJsonObject(json);
  if (!object.ok()) return BadCommand(object.status().message());
  TokenCommand command;
  for (const auto& [name, value] : object->items()) {
    if (name != "command" && name != "issuer" && name != "client_id" && name != "timeout_s") {
      return BadCommand(absl::StrCat("unknown member ", absl::CHexEscape(name)));
    }
  }
  const auto argv = object->find("command");
  if (argv == object->end() || !argv->is_array() || argv->empty() || argv->size() > kMaxArguments) {
    return BadCommand("command must be an array: the program, then its arguments");
  }
  for (const CommandJson& word : *argv) {
    if (!word.is_string()) return BadCommand("command must be an array of strings");
    command.argv.push_back(word.get<std::string>());
    if (command.argv.back().find('\0') != std::string::npos) return BadCommand("a NUL in command");
  }
  if (command.argv[0].empty()) return BadCommand("command begins with an empty string");
  FOREKEY_ASSIGN_OR_RETURN(command.issuer, CommandText(*object, "issuer"));
  FOREKEY_ASSIGN_OR_RETURN(command.client_id, CommandText(*object, "client_id"));
  if (const auto timeout = object->find("timeout_s"); timeout != object->end()) {
    if (!timeout->is_number_integer() || *timeout < 1 || *timeout > kMaxTimeoutSeconds) {
      return BadCommand("timeout_s must be a whole number from 1 to 600");
    }
    command.timeout = absl::Seconds(timeout->get<int64_t>());
  }
  return command;
}

absl::StatusOr<Secret> TokenCommand::Run(absl::string_view gate, absl::string_view nonce,
                                         const CallControl& call, const Said& said) const {
  FOREKEY_ASSIGN_OR_RETURN(
      const std::unique_ptr<RunningCommand> running,
      RunningCommand::Start(argv,
                            CommandEnvironment({{"FOREKEY_GATE", std::string(gate)},
                                                {"FOREKEY_OIDC_ISSUER", issuer},
                                                {"FOREKEY_OIDC_CLIENT_ID", client_id},
                                                {"FOREKEY_OIDC_NONCE", std::string(nonce)}})));
  FOREKEY_RETURN_IF_ERROR(
      running->Finish(std::min(Deadline::In(timeout), call.deadline), call, said));
  Secret text = running->TakeOutput();
  const absl::StatusOr<ParsedIdToken> token = ParsedIdToken::Parse(text.view());
  if (!token.ok()) {
    return Failed(
        absl::StrCat("wrote no ID token (", token.status().message(), ")", running->Complaint()));
  }
  if (token->issuer != issuer) {
    return Refuse(Reason::kIdTokenIssuer,
                  absl::StrCat("the command's token is of ", token->issuer, ", not of ", issuer));
  }
  if (token->audience != std::vector<std::string>{client_id}) {
    return Refuse(Reason::kIdTokenAudience,
                  absl::StrCat("the command's token is for ", token->audience.front(), ", not for ",
                               client_id, " alone"));
  }
  if (token->nonce && *token->nonce != nonce) {
    return Refuse(Reason::kIdTokenNonce,
                  "the command's token has another nonce than FOREKEY_OIDC_NONCE");
  }
  return text;
}

}  // namespace forekey
