// SPDX-License-Identifier: Apache-2.0
// The agent behind its socket: what forekey-agent runs, and tests too.
#ifndef FOREKEY_SRC_AGENT_AGENT_SERVER_H_
#define FOREKEY_SRC_AGENT_AGENT_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"
#include "src/agent/agent.h"
#include "src/agent/agent_service.h"
#include "src/agent/peers.h"
#include "src/agent/private_socket.h"

namespace forekey {

class AgentServer {
 public:
  struct Options {
    std::string socket;  // absolute path
    // A listening socket of the service manager's, taken in the place of `socket`; -1: none.
    int listening_fd = -1;
    Agent::Options agent;
  };
  // Errors: Agent::New's and PrivateSocket's. When this returns, the socket answers.
  static absl::StatusOr<std::unique_ptr<AgentServer>> Start(Options options);
  // Removes the socket, ends what waits (prompts and touches, too), gives running calls two seconds
  // and cancels the rest.
  ~AgentServer();

  const std::string& socket() const { return socket_->path(); }
  Agent& agent() { return *agent_; }

 private:
  AgentServer() = default;
  // In the order of their making: the socket goes first, the agent last.
  std::unique_ptr<Agent> agent_;
  Peers peers_;
  std::unique_ptr<AgentService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<PrivateSocket> socket_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_SERVER_H_
