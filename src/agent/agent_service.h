// SPDX-License-Identifier: Apache-2.0
// The Agent service over gRPC: nothing but the passage between messages and src/agent/agent.h.
#ifndef FOREKEY_SRC_AGENT_AGENT_SERVICE_H_
#define FOREKEY_SRC_AGENT_AGENT_SERVICE_H_

#include "forekey/v1/agent.grpc.pb.h"
#include "src/agent/agent.h"
#include "src/agent/peers.h"

namespace forekey {

// What may have to wait for a person answers through a reactor, and holds no thread; the rest has a
// thread of the server's.
class AgentService final
    : public forekey::v1::Agent::WithCallbackMethod_Login<
          forekey::v1::Agent::WithCallbackMethod_GetPrefix<
              forekey::v1::Agent::WithCallbackMethod_OpenSession<forekey::v1::Agent::Service>>> {
 public:
  AgentService(Agent* agent, const Peers* peers) : agent_(agent), peers_(peers) {}  // borrowed

  grpc::Status ListDevices(grpc::ServerContext*, const forekey::v1::ListDevicesRequest*,
                           forekey::v1::ListDevicesResponse* response) override;
  grpc::Status GetHardwareCertificates(
      grpc::ServerContext* context, const forekey::v1::GetHardwareCertificatesRequest* request,
      forekey::v1::GetHardwareCertificatesResponse* response) override;
  grpc::Status Enroll(grpc::ServerContext* context, const forekey::v1::EnrollRequest* request,
                      forekey::v1::EnrollResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext*, const forekey::v1::GetStatusRequest*,
                         forekey::v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* Login(grpc::CallbackServerContext* context,
                                  const forekey::v1::LoginRequest* request,
                                  forekey::v1::LoginResponse* response) override;
  grpc::Status Logout(grpc::ServerContext*, const forekey::v1::LogoutRequest* request,
                      forekey::v1::LogoutResponse*) override;
  grpc::ServerUnaryReactor* GetPrefix(grpc::CallbackServerContext* context,
                                      const forekey::v1::GetPrefixRequest* request,
                                      forekey::v1::GetPrefixResponse* response) override;
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const forekey::v1::OpenLocalSessionRequest* request,
                                        forekey::v1::OpenLocalSessionResponse* response) override;
  grpc::Status WatchNotices(grpc::ServerContext* context, const forekey::v1::WatchNoticesRequest*,
                            grpc::ServerWriter<forekey::v1::Notice>* writer) override;
  grpc::Status ForgetGate(grpc::ServerContext*, const forekey::v1::ForgetGateRequest* request,
                          forekey::v1::ForgetGateResponse* response) override;
  grpc::Status SetDefault(grpc::ServerContext*, const forekey::v1::SetDefaultRequest* request,
                          forekey::v1::SetDefaultResponse* response) override;

 private:
  Agent* const agent_;
  const Peers* const peers_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_SERVICE_H_
