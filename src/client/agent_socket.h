// SPDX-License-Identifier: Apache-2.0
// Where the agent is, and a stub to it.
#ifndef FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_
#define FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_

#include <memory>
#include <optional>
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

// A channel to the agent; it connects on first use. `socket`: empty: FindAgentSocket's. Refuses
// (kPeerUidRefused) a socket that belongs to another user: secrets would go to whoever made it.
absl::StatusOr<std::shared_ptr<grpc::Channel>> AgentChannel(const std::string& socket);

// For clients: the socket of an agent that is there. Where FOREKEY_AGENT_SOCKET says nothing, the
// environment of the agent may have been another one than this program's (cron and services have no
// XDG_RUNTIME_DIR), so all places are looked at in DefaultAgentSocket's order, the user's folder in
// `runtime_root` among them; the first where nothing is there.
absl::StatusOr<std::string> FindAgentSocket(const std::string& runtime_root = "/run/user");

// What to tell people when a call to the agent failed: OK for OK. What came from the agent itself
// has its code and message, a Reason (ReasonOf) where it was a refusal, and the details
// (AgentErrorDetailsOf); kUnavailable without them is an agent that does not run, or has just
// ended.
absl::Status AgentError(const grpc::Status& status, const std::string& socket);
// Nullopt where the error did not come from an agent.
std::optional<forekey::v1::AgentErrorDetails> AgentErrorDetailsOf(const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_AGENT_SOCKET_H_
