// Where the agent is, and a stub to it.
#ifndef FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_
#define FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace forekey {

// $FOREKEY_AGENT_SOCKET, else $XDG_RUNTIME_DIR/forekey/agent.sock, else agent.sock in the agent's
// state directory ($XDG_STATE_HOME/forekey, $HOME/.local/state/forekey). FailedPrecondition when
// none of the four is set.
absl::StatusOr<std::string> DefaultAgentSocket();

// A channel to the agent; it connects on first use. `socket`: empty for the default. Refuses
// (kPeerUidRefused) a socket that belongs to another user: secrets would go to whoever made it.
absl::StatusOr<std::shared_ptr<grpc::Channel>> AgentChannel(const std::string& socket);

// What to tell people when a call to the agent failed: OK for OK.
absl::Status AgentError(const grpc::Status& status, const std::string& socket);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_
