// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/agent_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/client/agent_socket.h"

namespace forekey {
namespace {

constexpr size_t kMaxPasswordFile = 1025;  // the longest password, and a newline

}  // namespace

absl::StatusOr<AgentClient> AgentClient::New(std::string socket) {
  if (socket.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(socket, FindAgentSocket());
  }
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, AgentChannel(socket));
  AgentClient client(std::move(socket));
  client.stub_ = v1::Agent::NewStub(channel);
  return client;
}

absl::Status AgentClient::Explain(const grpc::Status& status) const {
  return AgentError(status, socket_);
}

AgentClient::Notices::Notices(AgentClient& agent, std::ostream& err)
    : Notices(agent, [&err](const std::string& line) { err << line << std::endl; }) {}

AgentClient::Notices::Notices(AgentClient& agent, std::function<void(const std::string& line)> tell)
    : reader_(agent.stub_->WatchNotices(&context_, v1::WatchNoticesRequest())),
      thread_([this, tell = std::move(tell)] {
        for (v1::Notice notice; reader_->Read(&notice);) {
          tell(absl::StrCat(Shown(notice.gate()), ": ", Shown(notice.text())));
        }
        (void)reader_->Finish();
      }) {}

AgentClient::Notices::~Notices() {
  context_.TryCancel();
  thread_.join();
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
    nlohmann::json error = {{"code", absl::StatusCodeToString(status.code())},
                            {"message", std::string(status.message())}};
    if (const auto details = AgentErrorDetailsOf(status); details.has_value()) {
      error["reason"] = details->reason();
      error["gate_trouble"] = v1::GateTrouble_Name(details->gate_trouble());
      error["device_trouble"] = v1::DeviceTrouble_Name(details->device_trouble());
    }
    out << Dump({{"error", error}}) << std::endl;
  } else {
    // Lines stay lines; what else a terminal would obey is shown, not sent.
    absl::string_view prefix = "forekey: ";
    for (absl::string_view line : absl::StrSplit(status.message(), '\n')) {
      err << std::exchange(prefix, "  ") << Shown(line) << std::endl;
    }
  }
  return ExitStatusOf(status);
}

std::string Dump(const nlohmann::json& value) {
  // In ASCII: what a gate or a token says must not reach a terminal.
  return value.dump(2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<Secret> ReadPasswordFile(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string content, ReadPrivateFile(path, kMaxPasswordFile));
  absl::Cleanup wipe = [&content] { Wipe(content); };
  if (!content.empty() && content.back() == '\n') content.pop_back();
  if (content.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  return Secret::CopyOf(content);
}

}  // namespace forekey
