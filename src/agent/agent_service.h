// The Agent service over gRPC: nothing but the passage between messages and src/agent/agent.h.
#ifndef FOREKEY_SRC_AGENT_AGENT_SERVICE_H_
#define FOREKEY_SRC_AGENT_AGENT_SERVICE_H_

#include "forekey/v1/agent.grpc.pb.h"
#include "src/agent/agent.h"

namespace forekey {

class AgentService final : public forekey::v1::Agent::Service {
 public:
  explicit AgentService(Agent* agent) : agent_(agent) {}  // borrowed

  grpc::Status ListDevices(grpc::ServerContext*, const forekey::v1::ListDevicesRequest*,
                           forekey::v1::ListDevicesResponse* response) override;
  grpc::Status Enroll(grpc::ServerContext* context, const forekey::v1::EnrollRequest* request,
                      forekey::v1::EnrollResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext*, const forekey::v1::GetStatusRequest*,
                         forekey::v1::GetStatusResponse* response) override;
  grpc::Status Login(grpc::ServerContext* context, const forekey::v1::LoginRequest* request,
                     forekey::v1::LoginResponse* response) override;
  grpc::Status Logout(grpc::ServerContext*, const forekey::v1::LogoutRequest* request,
                      forekey::v1::LogoutResponse*) override;
  grpc::Status GetPrefix(grpc::ServerContext* context, const forekey::v1::GetPrefixRequest* request,
                         forekey::v1::GetPrefixResponse* response) override;
  grpc::Status OpenSession(grpc::ServerContext* context,
                           const forekey::v1::OpenLocalSessionRequest* request,
                           forekey::v1::OpenLocalSessionResponse* response) override;
  grpc::Status WatchNotices(grpc::ServerContext* context, const forekey::v1::WatchNoticesRequest*,
                            grpc::ServerWriter<forekey::v1::Notice>* writer) override;
  grpc::Status ForgetGate(grpc::ServerContext*, const forekey::v1::ForgetGateRequest* request,
                          forekey::v1::ForgetGateResponse*) override;

 private:
  Agent* const agent_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_SERVICE_H_
