// SPDX-License-Identifier: Apache-2.0
#include "src/agent/agent_server.h"

#include <utility>

#include "absl/time/time.h"
#include "src/base/status.h"
#include "src/rpc/call_deadline.h"

namespace forekey {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(2);
// What waits for a person holds none of them.
constexpr int kMaxThreads = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<AgentServer>> AgentServer::Start(Options options) {
  std::unique_ptr<AgentServer> result(new AgentServer);
  FOREKEY_ASSIGN_OR_RETURN(result->agent_, Agent::New(std::move(options.agent)));
  result->service_ = std::make_unique<AgentService>(result->agent_.get(), &result->peers_);
  FOREKEY_ASSIGN_OR_RETURN(result->socket_, options.listening_fd < 0
                                                ? PrivateSocket::Listen(options.socket)
                                                : PrivateSocket::Adopt(options.listening_fd));

  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("forekey-agent");
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.RegisterService(result->service_.get());
  // gRPC never listens by itself: every connection's peer is checked first.
  result->peers_.AddTo(&builder);
  result->server_ = builder.BuildAndStart();
  if (result->server_ == nullptr) return absl::InternalError("gRPC's server did not start");
  result->socket_->Accept([peers = &result->peers_](int fd) { peers->Take(fd); });
  return result;
}

AgentServer::~AgentServer() {
  if (socket_ != nullptr) socket_->Stop();
  if (agent_ != nullptr) {
    agent_->notices().Stop();
    agent_->Stop();
  }
  if (server_ != nullptr) server_->Shutdown(CallDeadline(kGrace));
}

}  // namespace forekey
