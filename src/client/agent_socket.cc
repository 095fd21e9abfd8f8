// SPDX-License-Identifier: Apache-2.0
#include "src/client/agent_socket.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/grpc_errors.h"
#include "src/rpc/status.h"

namespace forekey {
namespace {

constexpr absl::string_view kDetailsUrl = "forekey/agent-error";

// An absolute path in the environment; else null.
const char* Path(const char* variable) {
  const char* value = getenv(variable);
  return value != nullptr && value[0] == '/' ? value : nullptr;
}

absl::Status NotRunning(absl::string_view socket, absl::string_view detail) {
  return absl::UnavailableError(absl::StrCat(
      "the agent is not running (nothing answers on ", socket, detail.empty() ? "" : ": ", detail,
      "): start forekey-agent, or say where it is with FOREKEY_AGENT_SOCKET"));
}

}  // namespace

absl::StatusOr<std::string> DefaultAgentSocket() {
  const char* socket = getenv("FOREKEY_AGENT_SOCKET");
  if (socket != nullptr && socket[0] != '\0') return std::string(socket);
  if (const char* runtime = Path("XDG_RUNTIME_DIR")) {
    return absl::StrCat(runtime, "/forekey/agent.sock");
  }
  if (const char* state = Path("XDG_STATE_HOME")) return absl::StrCat(state, "/forekey/agent.sock");
  if (const char* home = Path("HOME")) {
    return absl::StrCat(home, "/.local/state/forekey/agent.sock");
  }
  return absl::FailedPreconditionError(
      "none of FOREKEY_AGENT_SOCKET, XDG_RUNTIME_DIR and HOME is set: say where the agent's socket "
      "is");
}

absl::StatusOr<std::string> FindAgentSocket(const std::string& runtime_root) {
  const char* socket = getenv("FOREKEY_AGENT_SOCKET");
  if (socket != nullptr && socket[0] != '\0') return std::string(socket);
  std::vector<std::string> places;
  if (const char* runtime = Path("XDG_RUNTIME_DIR")) places.push_back(runtime);
  places.push_back(absl::StrCat(runtime_root, "/", geteuid()));
  if (const char* state = Path("XDG_STATE_HOME")) places.push_back(state);
  if (const char* home = Path("HOME")) places.push_back(absl::StrCat(home, "/.local/state"));
  for (const std::string& place : places) {
    const std::string path = absl::StrCat(place, "/forekey/agent.sock");
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) && info.st_uid == geteuid()) {
      return path;
    }
  }
  return DefaultAgentSocket();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> AgentChannel(const std::string& socket) {
  std::string path = socket;
  if (path.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(path, FindAgentSocket());
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return NotRunning(path, "");
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a socket"));
  }
  if (info.st_uid != geteuid()) {
    return Refuse(Reason::kPeerUidRefused,
                  absl::StrCat("the agent's socket ", path, " belongs to uid ", info.st_uid,
                               ", this program runs as uid ", geteuid()));
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(),
                                   arguments);
}

absl::Status AgentError(const grpc::Status& status, const std::string& socket) {
  if (status.ok()) return absl::OkStatus();
  v1::AgentErrorDetails details;
  const bool from_agent =
      !status.error_details().empty() && details.ParseFromString(status.error_details());
  if (!from_agent) {
    return status.error_code() == grpc::StatusCode::UNAVAILABLE
               ? NotRunning(socket, status.error_message())
               : ToAbsl(status);
  }
  absl::Status error = ToAbsl(status);
  if (const auto reason = ReasonFromName(details.reason()); reason.has_value()) {
    // The message begins with the reason's name already.
    const absl::Status refused = Refuse(*reason);
    error = absl::Status(error.code(), error.message());
    refused.ForEachPayload([&error](absl::string_view url, const absl::Cord& payload) {
      error.SetPayload(url, payload);
    });
  }
  error.SetPayload(kDetailsUrl, absl::Cord(status.error_details()));
  return error;
}

std::optional<v1::AgentErrorDetails> AgentErrorDetailsOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kDetailsUrl);
  v1::AgentErrorDetails details;
  if (!payload || !details.ParseFromString(std::string(*payload))) return std::nullopt;
  return details;
}

}  // namespace forekey
