// SPDX-License-Identifier: Apache-2.0
#include "src/agent/agent_service.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "spdlog/spdlog.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/version.h"
#include "src/client/gate_diagnosis.h"
#include "src/rpc/call_deadline.h"
#include "src/wire/step_up.h"

namespace forekey {

namespace {

constexpr absl::Duration kWatchPoll = absl::Milliseconds(200);  // for a watcher that is gone

// A client that goes away, or whose deadline passes, ends what is done for it.
CallControl ControlFor(grpc::ServerContext* context, Peer peer = {}) {
  CallControl call;
  call.cancelled = [context] { return context->IsCancelled(); };
  call.deadline = Deadline::In(TimeLeft(context->raw_deadline()));
  call.program = std::move(peer.program);
  call.place = std::move(peer.place);
  return call;
}

// Every error of the agent's own has details, so that nobody has to guess from words whether it
// came from an agent, and what it is about.
grpc::Status WithDetails(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::AgentErrorDetails details;
  details.set_agent_version(kForekeyVersion);
  if (const auto reason = ReasonOf(status); reason.has_value()) {
    details.set_reason(std::string(ReasonName(*reason)));
  }
  details.set_gate_trouble(GateTroubleOf(status));
  details.set_lacking(LackingOf(status));
  if (const auto error = DeviceErrorOf(status); error.has_value()) {
    details.set_device_trouble(static_cast<v1::DeviceTrouble>(static_cast<int>(*error) + 1));
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      details.SerializeAsString());
}
// The same troubles in the same order.
static_assert(static_cast<int>(DeviceError::kGone) + 1 == v1::DEVICE_TROUBLE_GONE);
static_assert(static_cast<int>(DeviceError::kOther) + 1 == v1::DEVICE_TROUBLE_OTHER);
static_assert(static_cast<int>(DeviceError::kNoCredentials) + 1 ==
              v1::DEVICE_TROUBLE_NO_CREDENTIALS);

grpc::Status Logged(const char* method, const absl::Status& status) {
  if (!status.ok())
    spdlog::warn("{}: {}", method,
                 Shown(status.ToString(absl::StatusToStringMode::kWithNoExtraData)));
  return WithDetails(status);
}

template <typename Response>
grpc::Status Answer(const char* method, absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return Logged(method, result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

// Answers when the agent does; a client that goes away, or whose deadline passes, ends its wait.
template <typename Response>
class CallReactor final : public grpc::ServerUnaryReactor {
 public:
  CallReactor(const char* method, Response* response, Peer peer)
      : method_(method),
        response_(response),
        call_(std::make_shared<AgentCall>(std::move(peer.program), std::move(peer.place))) {}

  const AgentCallPtr& call() const { return call_; }
  GateAccount::Done<Response> MakeDone() {
    return [this](absl::StatusOr<Response> result) {
      Finish(Answer(method_, std::move(result), response_));
    };
  }
  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

 private:
  const char* const method_;
  Response* const response_;
  const AgentCallPtr call_;
};

}  // namespace

grpc::Status AgentService::ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest*,
                                       v1::ListDevicesResponse* response) {
  return Answer("ListDevices", agent_->ListDevices(ControlFor(context)), response);
}

grpc::Status AgentService::GetHardwareCertificates(
    grpc::ServerContext* context, const v1::GetHardwareCertificatesRequest* request,
    v1::GetHardwareCertificatesResponse* response) {
  return Answer("GetHardwareCertificates",
                agent_->GetHardwareCertificates(*request, ControlFor(context)), response);
}

grpc::Status AgentService::Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request,
                                  v1::EnrollResponse* response) {
  const absl::Cleanup wipe = [request] {
    auto* theirs = const_cast<v1::EnrollRequest*>(request);
    Wipe(*theirs->mutable_key_password());
    for (auto& [name, value] : *theirs->mutable_options()) Wipe(value);
  };
  return Answer("Enroll",
                agent_->Enroll(*request, ControlFor(context, peers_->Of(*context->auth_context()))),
                response);
}

grpc::Status AgentService::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  *response = agent_->GetStatus();
  return grpc::Status::OK;
}

grpc::ServerUnaryReactor* AgentService::Login(grpc::CallbackServerContext* context,
                                              const v1::LoginRequest* request,
                                              v1::LoginResponse* response) {
  auto* reactor =
      new CallReactor<v1::LoginResponse>("Login", response, peers_->Of(*context->auth_context()));
  v1::LoginRequest own = *request;  // which the agent wipes
  auto* theirs = const_cast<v1::LoginRequest*>(request);
  Wipe(*theirs->mutable_key_password());
  Wipe(*theirs->mutable_password());
  agent_->Login(reactor->call(), std::move(own), reactor->MakeDone());
  return reactor;
}

grpc::Status AgentService::Logout(grpc::ServerContext*, const v1::LogoutRequest* request,
                                  v1::LogoutResponse*) {
  return Logged("Logout", agent_->Logout(*request));
}

grpc::ServerUnaryReactor* AgentService::GetPrefix(grpc::CallbackServerContext* context,
                                                  const v1::GetPrefixRequest* request,
                                                  v1::GetPrefixResponse* response) {
  auto* reactor = new CallReactor<v1::GetPrefixResponse>("GetPrefix", response,
                                                         peers_->Of(*context->auth_context()));
  agent_->GetPrefix(reactor->call(), *request, reactor->MakeDone());
  return reactor;
}

grpc::ServerUnaryReactor* AgentService::OpenSession(grpc::CallbackServerContext* context,
                                                    const v1::OpenLocalSessionRequest* request,
                                                    v1::OpenLocalSessionResponse* response) {
  auto* reactor = new CallReactor<v1::OpenLocalSessionResponse>(
      "OpenSession", response, peers_->Of(*context->auth_context()));
  agent_->OpenSession(reactor->call(), *request, reactor->MakeDone());
  return reactor;
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
                                      v1::ForgetGateResponse* response) {
  return Answer("ForgetGate", agent_->ForgetGate(*request), response);
}

grpc::Status AgentService::SetDefault(grpc::ServerContext*, const v1::SetDefaultRequest* request,
                                      v1::SetDefaultResponse* response) {
  return Answer("SetDefault", agent_->SetDefault(*request), response);
}

}  // namespace forekey
