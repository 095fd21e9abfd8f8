#include "src/cli/agent_client.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/client/agent_socket.h"

namespace forekey {
namespace {

constexpr size_t kMaxPassword = 1024;

void WriteAll(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) < 0) return;  // the question is only a courtesy
}

absl::StatusOr<Secret> ReadLine(int fd) {
  std::string line;
  absl::Cleanup wipe = [&line] { Wipe(line); };
  line.reserve(kMaxPassword + 1);  // grown nowhere, so that no copy is left behind
  char c;
  while (line.size() <= kMaxPassword) {
    ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read from the terminal");
    if (n == 0 || c == '\n') return Secret::CopyOf(line);
    line.push_back(c);
  }
  return absl::InvalidArgumentError("the password is longer than 1024 bytes");
}

absl::StatusOr<Secret> AskOnce(int terminal, const std::string& question) {
  termios before;
  if (tcgetattr(terminal, &before) != 0) return absl::ErrnoToStatus(errno, "tcgetattr");
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  WriteAll(terminal, question);
  if (tcsetattr(terminal, TCSAFLUSH, &silent) != 0) return absl::ErrnoToStatus(errno, "tcsetattr");
  absl::Cleanup restore = [&] {
    tcsetattr(terminal, TCSAFLUSH, &before);
    WriteAll(terminal, "\n");
  };
  return ReadLine(terminal);
}

}  // namespace

absl::StatusOr<AgentClient> AgentClient::New(std::string socket) {
  if (socket.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(socket, DefaultAgentSocket());
  }
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, AgentChannel(socket));
  AgentClient client(std::move(socket));
  client.stub_ = v1::Agent::NewStub(channel);
  return client;
}

std::chrono::system_clock::time_point AgentClient::DeadlineAfter(absl::Duration timeout) {
  return absl::ToChronoTime(absl::Now() + timeout);
}

absl::Status AgentClient::Explain(const grpc::Status& status) const {
  return AgentError(status, socket_);
}

int ExitStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kFailedPrecondition:
      return 1;
    default:
      return 2;
  }
}

int Report(const absl::Status& status, bool json, std::ostream& out, std::ostream& err) {
  if (status.ok()) return 0;
  if (json) {
    out << Dump({{"error",
                  {{"code", absl::StatusCodeToString(status.code())},
                   {"message", std::string(status.message())}}}})
        << std::endl;
  } else {
    err << "forekey: " << status.message() << std::endl;
  }
  return ExitStatusOf(status);
}

std::string Dump(const nlohmann::json& value) {
  return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<Secret> ReadPasswordFile(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string content, ReadPrivateFile(path, kMaxPassword + 1));
  absl::Cleanup wipe = [&content] { Wipe(content); };
  if (!content.empty() && content.back() == '\n') content.pop_back();
  if (content.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  return Secret::CopyOf(content);
}

absl::StatusOr<Secret> AskPassword(const std::string& question, bool twice) {
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (terminal < 0) {
    return absl::FailedPreconditionError(
        "there is no terminal to ask for the password on: use --key-password-file");
  }
  absl::Cleanup close_terminal = [terminal] { close(terminal); };
  FOREKEY_ASSIGN_OR_RETURN(Secret password, AskOnce(terminal, question));
  if (password.empty()) return absl::InvalidArgumentError("the password is empty");
  if (twice) {
    FOREKEY_ASSIGN_OR_RETURN(Secret again, AskOnce(terminal, "Once more: "));
    if (!ConstantTimeEqual(password.view(), again.view())) {
      return absl::InvalidArgumentError("the two passwords differ");
    }
  }
  return password;
}

}  // namespace forekey
