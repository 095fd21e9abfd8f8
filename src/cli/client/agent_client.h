// SPDX-License-Identifier: Apache-2.0
// What the client commands share: a stub to the agent, and how results and errors are told.
#ifndef FOREKEY_SRC_CLI_CLIENT_AGENT_CLIENT_H_
#define FOREKEY_SRC_CLI_CLIENT_AGENT_CLIENT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "src/base/secret.h"
#include "src/rpc/call_deadline.h"

namespace forekey {

// The agent on `socket` (empty: the default).
class AgentClient {
 public:
  static absl::StatusOr<AgentClient> New(std::string socket);

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::Agent::Stub::*rpc)(grpc::ClientContext*, const Request&,
                                                         Response*),
                    const Request& request, Response* response, absl::Duration timeout) {
    grpc::ClientContext context;
    context.set_deadline(CallDeadline(timeout));
    return Explain((stub_.get()->*rpc)(&context, request, response));
  }
  const std::string& socket() const { return socket_; }

  // While it lives, what the agent tells the person (a token that waits for a touch, a command that
  // gives a token) goes to `err` or `tell`, line by line. An agent that can't be asked is no error
  // here.
  class Notices {
   public:
    Notices(AgentClient& agent, std::ostream& err);
    Notices(AgentClient& agent, std::function<void(const std::string& line)> tell);
    ~Notices();
    Notices(const Notices&) = delete;
    Notices& operator=(const Notices&) = delete;

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<v1::Notice>> reader_;
    std::thread thread_;
  };

 private:
  explicit AgentClient(std::string socket) : socket_(std::move(socket)) {}
  absl::Status Explain(const grpc::Status& status) const;

  std::string socket_;
  std::unique_ptr<v1::Agent::Stub> stub_;
};

// 0, 1 or 2: see client_commands.h.
int ExitStatusOf(const absl::Status& status);

// Prints the error (with `json`, as {"error": {"code", "message"}} to `out`) and gives the exit
// status.
int Report(const absl::Status& status, bool json, std::ostream& out, std::ostream& err);

// For text that may hold anything: never throws on what is not UTF-8.
std::string Dump(const nlohmann::json& value);

// A password for a key: out of a file that only its owner may read (one line), or asked on the
// terminal, without echo. Passwords are never taken from arguments or the environment: both are
// readable by others.
absl::StatusOr<Secret> ReadPasswordFile(const std::string& path);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_AGENT_CLIENT_H_
