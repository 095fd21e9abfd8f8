#include "src/agent/agent_service.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "spdlog/spdlog.h"
#include "src/client/grpc_errors.h"
#include "src/rpc/status.h"

namespace forekey {

namespace {

constexpr absl::Duration kWatchPoll = absl::Milliseconds(200);  // for a watcher that is gone

// A client that goes away, or whose deadline passes, ends what is done for it.
CallControl ControlOf(grpc::ServerContext* context) {
  CallControl call;
  call.cancelled = [context] { return context->IsCancelled(); };
  call.deadline = absl::FromChrono(context->deadline());
  return call;
}

grpc::Status Logged(const char* method, const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}: {}", method, status.ToString());
  return ToGrpc(status);
}

template <typename Response>
grpc::Status Answer(const char* method, absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return Logged(method, result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace

grpc::Status AgentService::ListDevices(grpc::ServerContext*, const v1::ListDevicesRequest*,
                                       v1::ListDevicesResponse* response) {
  *response = agent_->ListDevices();
  return grpc::Status::OK;
}

grpc::Status AgentService::Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request,
                                  v1::EnrollResponse* response) {
  return Answer("Enroll", agent_->Enroll(*request, ControlOf(context)), response);
}

grpc::Status AgentService::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  *response = agent_->GetStatus();
  return grpc::Status::OK;
}

grpc::Status AgentService::Login(grpc::ServerContext* context, const v1::LoginRequest* request,
                                 v1::LoginResponse* response) {
  return Answer("Login", agent_->Login(*request, ControlOf(context)), response);
}

grpc::Status AgentService::Logout(grpc::ServerContext*, const v1::LogoutRequest* request,
                                  v1::LogoutResponse*) {
  return Logged("Logout", agent_->Logout(*request));
}

grpc::Status AgentService::GetPrefix(grpc::ServerContext* context,
                                     const v1::GetPrefixRequest* request,
                                     v1::GetPrefixResponse* response) {
  return Answer("GetPrefix", agent_->GetPrefix(*request, ControlOf(context)), response);
}

grpc::Status AgentService::OpenSession(grpc::ServerContext* context,
                                       const v1::OpenLocalSessionRequest* request,
                                       v1::OpenLocalSessionResponse* response) {
  return Answer("OpenSession", agent_->OpenSession(*request, ControlOf(context)), response);
}

grpc::Status AgentService::WatchNotices(grpc::ServerContext* context,
                                        const v1::WatchNoticesRequest*,
                                        grpc::ServerWriter<v1::Notice>* writer) {
  NoticeBoard& board = agent_->notices();
  if (!board.Enter())
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watch already");
  const absl::Cleanup leave = [&board] { board.Leave(); };
  writer->SendInitialMetadata();  // from here on nothing is missed
  for (uint64_t seen = 0; !context->IsCancelled() && !board.stopped();) {
    for (const NoticeBoard::Notice& notice : board.After(&seen, kWatchPoll)) {
      v1::Notice message;
      message.set_gate(notice.gate);
      message.set_text(notice.text);
      if (!writer->Write(message)) return grpc::Status::OK;
    }
  }
  return grpc::Status::OK;
}

grpc::Status AgentService::ForgetGate(grpc::ServerContext*, const v1::ForgetGateRequest* request,
                                      v1::ForgetGateResponse*) {
  return Logged("ForgetGate", agent_->ForgetGate(*request));
}

}  // namespace forekey
