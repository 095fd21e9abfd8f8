#include "src/gate/gate_service.h"

#include <utility>

#include "src/base/reason.h"
#include "src/gate/grpc_status.h"
#include "src/gate/live_calls.h"
#include "src/policy/call_policy.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr size_t kWaitingEnrollments = 64;

// Finishes the call with `result`, which GateCore made public already.
template <typename Response>
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                 absl::StatusOr<Response> result, Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (result.ok()) *response = *std::move(result);
  reactor->Finish(ToGrpc(result.status()));
  return reactor;
}

}  // namespace

GateService::GateService(GateCore* core) : core_(core), enrollments_(kWaitingEnrollments) {}
GateService::~GateService() = default;

grpc::ServerUnaryReactor* GateService::GetChallenge(grpc::CallbackServerContext* context,
                                                    const v1::GetChallengeRequest* request,
                                                    v1::GetChallengeResponse* response) {
  return Answer(context, core_->GetChallenge(*request), response);
}

void GateService::Enqueue(grpc::ServerUnaryReactor* reactor, absl::string_view method,
                          std::string peer, std::function<absl::Status()> work) {
  bool queued = enrollments_.Submit(
      [reactor, work = std::move(work)] { reactor->Finish(ToGrpc(work())); });
  if (!queued) {
    reactor->Finish(ToGrpc(core_->PublicRefusal(
        Refuse(Reason::kRateLimited, "too many enrolments wait already"), method, peer)));
  }
}

grpc::ServerUnaryReactor* GateService::BeginEnrollment(grpc::CallbackServerContext* context,
                                                       const v1::BeginEnrollmentRequest* request,
                                                       v1::BeginEnrollmentResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // The core call keeps request and response until the reactor finishes.
  Enqueue(reactor, kBeginEnrollmentMethod, context->peer(),
          [this, request, response, peer = context->peer()]() -> absl::Status {
            auto result = core_->BeginEnrollment(*request, peer);
            if (result.ok()) *response = *std::move(result);
            return result.status();
          });
  return reactor;
}

grpc::ServerUnaryReactor* GateService::FinishEnrollment(grpc::CallbackServerContext* context,
                                                        const v1::FinishEnrollmentRequest* request,
                                                        v1::FinishEnrollmentResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Enqueue(reactor, kFinishEnrollmentMethod, context->peer(),
          [this, request, response, peer = context->peer()]() -> absl::Status {
            auto result = core_->FinishEnrollment(*request, peer);
            if (result.ok()) *response = *std::move(result);
            return result.status();
          });
  return reactor;
}

namespace {

// The caller of one of the gate's own gated methods. There is none when a session ended between the
// gate's verdict and here, or when the call came in by a port that is not the gate's.
absl::StatusOr<VerifiedCall> CallerOf(GateCore& core, grpc::CallbackServerContext* context,
                                      absl::string_view method) {
  auto caller = LiveCalls::OfProcess().Find(context->c_call());
  if (caller.has_value()) return *std::move(caller);
  return core.PublicRefusal(
      Refuse(Reason::kPrefixMissing, "no verified caller: another port, or the session ended just now"),
      method, context->peer());
}

}  // namespace

grpc::ServerUnaryReactor* GateService::OpenSession(grpc::CallbackServerContext* context,
                                                   const v1::OpenSessionRequest* request,
                                                   v1::OpenSessionResponse* response) {
  auto caller = CallerOf(*core_, context, kOpenSessionMethod);
  if (!caller.ok()) return Answer<v1::OpenSessionResponse>(context, caller.status(), response);
  return Answer(context, core_->OpenSession(*caller, *request, context->peer()), response);
}

grpc::ServerUnaryReactor* GateService::OpenChildSession(grpc::CallbackServerContext* context,
                                                        const v1::OpenChildSessionRequest* request,
                                                        v1::OpenSessionResponse* response) {
  auto caller = CallerOf(*core_, context, kOpenChildSessionMethod);
  if (!caller.ok()) return Answer<v1::OpenSessionResponse>(context, caller.status(), response);
  return Answer(context, core_->OpenChildSession(*caller, *request, context->peer()), response);
}

grpc::ServerUnaryReactor* GateService::EndSession(grpc::CallbackServerContext* context,
                                                  const v1::EndSessionRequest* request,
                                                  v1::EndSessionResponse* response) {
  auto caller = CallerOf(*core_, context, kEndSessionMethod);
  if (!caller.ok()) return Answer<v1::EndSessionResponse>(context, caller.status(), response);
  return Answer(context, core_->EndSession(*caller, *request, context->peer()), response);
}

grpc::ServerUnaryReactor* GateService::WhoAmI(grpc::CallbackServerContext* context,
                                              const v1::WhoAmIRequest* request,
                                              v1::WhoAmIResponse* response) {
  auto caller = CallerOf(*core_, context, kWhoAmIMethod);
  if (!caller.ok()) return Answer<v1::WhoAmIResponse>(context, caller.status(), response);
  return Answer(context, core_->WhoAmI(*caller, *request), response);
}

}  // namespace forekey
