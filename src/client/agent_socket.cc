#include "src/client/agent_socket.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/grpc_errors.h"
#include "src/rpc/status.h"

namespace forekey {
namespace {

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

absl::StatusOr<std::shared_ptr<grpc::Channel>> AgentChannel(const std::string& socket) {
  std::string path = socket;
  if (path.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(path, DefaultAgentSocket());
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
  bool unreachable = status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                     status.error_message().find("failed to connect") != std::string::npos;
  if (unreachable) return NotRunning(socket, status.error_message());
  return ToAbsl(status);
}

}  // namespace forekey
