// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/gate_service.h"

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/call/refusals.h"
#include "src/gate/grpc/call_gate.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/worker.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/limits/host_places.h"
#include "src/policy/call_policy.h"
#include "src/rpc/status.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr size_t kWaitingEnrollments = 64;
constexpr size_t kWaitingOfOneAddress = 16;
constexpr size_t kWaitingOpenings = 64;
constexpr size_t kSpareOpenings = 2;  // beyond those that factors may hold
// The same where every opening has to ask a registry that is elsewhere.
constexpr size_t kWaitingForRegistry = 512;
constexpr size_t kOpeningsAtRegistry = 8;
// Sealed factors alone have more than 300 bytes.
constexpr size_t kPlainOpening = 128;

// The caller of one of the gate's own gated methods. There is none when a session ended between the
// gate's verdict and here, or when the call came in by a port that is not the gate's.
absl::StatusOr<VerifiedCall> CallerOf(GateCore& core, grpc::ServerContextBase& context,
                                      absl::string_view method) {
  auto caller = LiveCalls::OfProcess().Find(context.c_call());
  if (caller.has_value()) return *std::move(caller);
  return core.refusals().Tell(
      Refuse(Reason::kPrefixMissing,
             "no verified caller: another port, or the session ended just now"),
      method, context.peer());
}

template <typename Response>
grpc::Status Give(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

// PeerService made every status that comes out here public already.
grpc::Status GetChallenge(GateCore& core, grpc::ServerContextBase&,
                          const v1::GetChallengeRequest& request,
                          v1::GetChallengeResponse* response) {
  return Give(core.peers().GetChallenge(request), response);
}
// Before a step of an enrolment takes a place: a refusal counts against its connection.
template <typename Request>
grpc::Status AdmitEnrollment(GateCore& core, const GateServices::Answered& answered,
                             grpc::ServerContextBase& context, const Request& request) {
  const absl::Status admitted = core.peers().AdmitEnrollment(request, context.peer());
  if (auto reason = ReasonOf(admitted); reason) answered(context.c_call(), reason);
  return ToGrpc(admitted);
}

absl::Status NoPlace(GateCore& core, grpc::ServerContextBase& context, absl::string_view method) {
  return core.refusals().Tell(
      Refuse(Reason::kRateLimited, "too many enrolments wait already, in all or of this address"),
      method, context.peer());
}

// A refusal counts against its connection; only an enrolment that is finished shows who is honest.
grpc::Status BeginEnrollment(GateCore& core, const GateServices::Answered& answered,
                             grpc::ServerContextBase& context,
                             const v1::BeginEnrollmentRequest& request,
                             v1::BeginEnrollmentResponse* response) {
  auto begun = core.peers().BeginEnrollment(request, context.peer());
  if (auto reason = ReasonOf(begun.status()); reason) answered(context.c_call(), reason);
  return Give(std::move(begun), response);
}
grpc::Status FinishEnrollment(GateCore& core, const GateServices::Answered& answered,
                              grpc::ServerContextBase& context,
                              const v1::FinishEnrollmentRequest& request,
                              v1::FinishEnrollmentResponse* response) {
  auto finished = core.peers().FinishEnrollment(request, context.peer());
  const auto reason = ReasonOf(finished.status());
  if (finished.ok() || reason) answered(context.c_call(), reason);
  return Give(std::move(finished), response);
}
// While the CA of the gate's TLS changes, who opens a session is told the next one, under its key.
grpc::Status GiveSession(GateCore& core, grpc::ServerContextBase& context,
                         absl::StatusOr<v1::OpenSessionResponse> opened,
                         v1::OpenSessionResponse* response) {
  const std::string cas = core.announced_cas().pem();
  if (opened.ok() && !cas.empty()) {
    if (const auto session = core.sessions().Find(opened->session_id()); session != nullptr) {
      const Secret key = Secret::CopyOf(session->key());
      context.AddTrailingMetadata(std::string(kTlsAnchorsMetadataKey),
                                  absl::StrCat(ComputeTlsAnchorsMac(key, session->id(), cas), cas));
    }
  }
  return Give(std::move(opened), response);
}
grpc::Status CallerIsGone() {
  return grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone");
}

grpc::Status OpenSession(GateCore& core, grpc::ServerContextBase& context,
                         const v1::OpenSessionRequest& request, v1::OpenSessionResponse* response) {
  auto caller = CallerOf(core, context, kOpenSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return GiveSession(core, context, core.peers().OpenSession(*caller, request, context.peer()),
                     response);
}
// What it comes to shows who is honest: the processor only saw that the ticket opens.
grpc::Status ResumeSession(GateCore& core, const GateServices::Answered& answered,
                           grpc::ServerContextBase& context,
                           const v1::ResumeSessionRequest& request,
                           v1::OpenSessionResponse* response) {
  auto caller = CallerOf(core, context, kResumeSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  auto resumed = core.peers().ResumeSession(*caller, request, context.peer());
  const auto reason = ReasonOf(resumed.status());
  if (resumed.ok() || reason) answered(context.c_call(), reason);
  return GiveSession(core, context, std::move(resumed), response);
}
grpc::Status OpenChildSession(GateCore& core, grpc::ServerContextBase& context,
                              const v1::OpenChildSessionRequest& request,
                              v1::OpenSessionResponse* response) {
  auto caller = CallerOf(core, context, kOpenChildSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().OpenChildSession(*caller, request, context.peer()), response);
}
grpc::Status EndSession(GateCore& core, grpc::ServerContextBase& context,
                        const v1::EndSessionRequest& request, v1::EndSessionResponse* response) {
  auto caller = CallerOf(core, context, kEndSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().EndSession(*caller, request, context.peer()), response);
}
// For the audit log: nobody is there to be told.
grpc::Status EndedHereAlone(GateCore& core, const VerifiedCall& caller, absl::string_view peer) {
  Decision decision = core.audit().NewDecision(AuditEvent::kSessionEnded);
  decision.method = std::string(kEndSessionMethod);
  decision.peer = std::string(peer);
  DescribeCaller(caller, decision);
  return ToGrpc(core.refusals().Tell(
      std::move(decision),
      Refuse(Reason::kStoreUnavailable,
             "the session ended here; the gate ended before the registry was told, and the caller "
             "was gone")));
}
grpc::Status WhoAmI(GateCore& core, grpc::ServerContextBase& context,
                    const v1::WhoAmIRequest& request, v1::WhoAmIResponse* response) {
  auto caller = CallerOf(core, context, kWhoAmIMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().WhoAmI(*caller, request), response);
}

grpc::Status ReauthenticateCall(GateCore& core, grpc::ServerContextBase& context,
                                const v1::ReauthenticateCallRequest& request,
                                v1::ReauthenticateCallResponse* response) {
  auto caller = CallerOf(core, context, kReauthenticateCallMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  const auto replace = [&core](
                           const VerifiedCall& by,
                           absl::FunctionRef<bool(const VerifiedCall&, absl::string_view)> pick) {
    LiveCalls::OfProcess().Reauthenticate(by, [&](const LiveCalls::Entry& entry) {
      return entry.gate == &core && pick(*entry.caller, entry.method);
    });
  };
  return Give(core.peers().ReauthenticateCall(*caller, request, context.peer(), replace), response);
}

grpc::Status GetRequirements(GateCore& core, grpc::ServerContextBase& context,
                             const v1::GetRequirementsRequest& request,
                             v1::GetRequirementsResponse* response) {
  auto caller = CallerOf(core, context, kGetRequirementsMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().GetRequirements(*caller, request, context.peer()), response);
}

}  // namespace

class GateServices::Sync : public v1::Gate::Service {
 public:
  Sync(GateCore* core, Answered answered) : core_(*core), answered_(std::move(answered)) {}
  grpc::Status GetChallenge(grpc::ServerContext* context, const v1::GetChallengeRequest* request,
                            v1::GetChallengeResponse* response) override {
    return forekey::GetChallenge(core_, *context, *request, response);
  }
  grpc::Status BeginEnrollment(grpc::ServerContext* context,
                               const v1::BeginEnrollmentRequest* request,
                               v1::BeginEnrollmentResponse* response) override {
    return InAPlace(*context, *request, kBeginEnrollmentMethod, [&] {
      return forekey::BeginEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::Status FinishEnrollment(grpc::ServerContext* context,
                                const v1::FinishEnrollmentRequest* request,
                                v1::FinishEnrollmentResponse* response) override {
    return InAPlace(*context, *request, kFinishEnrollmentMethod, [&] {
      return forekey::FinishEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::Status OpenSession(grpc::ServerContext* context, const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override {
    if (context->IsCancelled()) return CallerIsGone();
    return forekey::OpenSession(core_, *context, *request, response);
  }
  grpc::Status ResumeSession(grpc::ServerContext* context, const v1::ResumeSessionRequest* request,
                             v1::OpenSessionResponse* response) override {
    if (context->IsCancelled()) return CallerIsGone();
    return forekey::ResumeSession(core_, answered_, *context, *request, response);
  }
  grpc::Status OpenChildSession(grpc::ServerContext* context,
                                const v1::OpenChildSessionRequest* request,
                                v1::OpenSessionResponse* response) override {
    return forekey::OpenChildSession(core_, *context, *request, response);
  }
  grpc::Status EndSession(grpc::ServerContext* context, const v1::EndSessionRequest* request,
                          v1::EndSessionResponse* response) override {
    return forekey::EndSession(core_, *context, *request, response);
  }
  grpc::Status WhoAmI(grpc::ServerContext* context, const v1::WhoAmIRequest* request,
                      v1::WhoAmIResponse* response) override {
    return forekey::WhoAmI(core_, *context, *request, response);
  }
  grpc::Status ReauthenticateCall(grpc::ServerContext* context,
                                  const v1::ReauthenticateCallRequest* request,
                                  v1::ReauthenticateCallResponse* response) override {
    return forekey::ReauthenticateCall(core_, *context, *request, response);
  }
  grpc::Status GetRequirements(grpc::ServerContext* context,
                               const v1::GetRequirementsRequest* request,
                               v1::GetRequirementsResponse* response) override {
    return forekey::GetRequirements(core_, *context, *request, response);
  }

 private:
  template <typename Request>
  grpc::Status InAPlace(grpc::ServerContext& context, const Request& request,
                        absl::string_view method, absl::FunctionRef<grpc::Status()> work) {
    if (context.IsCancelled()) return CallerIsGone();
    if (grpc::Status admitted = AdmitEnrollment(core_, answered_, context, request);
        !admitted.ok()) {
      return admitted;
    }
    const std::string host = HostKey(context.peer());
    if (!enrolling_.Enter(host)) return ToGrpc(NoPlace(core_, context, method));
    absl::Cleanup leave = [&] { enrolling_.Leave(host); };
    return work();
  }

  GateCore& core_;
  const Answered answered_;
  HostPlaces enrolling_{kWaitingEnrollments, kWaitingOfOneAddress};
};

// Enrolment waits for the disk and checks certificate paths: here it has a thread and a short queue
// of its own, so that it never takes gRPC's few callback threads away from calls (LAW 7). So
// have openings with further factors: more threads than those factors can hold all together
// (src/gate/factor/factor_lane.h), so that whatever hangs, there is one left for the next opening.
class GateServices::Callback : public v1::Gate::CallbackService {
 public:
  Callback(GateCore* core, Answered answered, const std::atomic<bool>& ending)
      : core_(*core),
        answered_(std::move(answered)),
        ending_(ending),
        enrollments_(kWaitingEnrollments),
        openings_(OpeningsMayWait() ? kWaitingForRegistry : kWaitingOpenings,
                  core->MostOpeningThreads() +
                      (OpeningsMayWait() ? kOpeningsAtRegistry : kSpareOpenings)) {}

  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest* request,
                                         v1::GetChallengeResponse* response) override {
    return Finish(context, forekey::GetChallenge(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* BeginEnrollment(grpc::CallbackServerContext* context,
                                            const v1::BeginEnrollmentRequest* request,
                                            v1::BeginEnrollmentResponse* response) override {
    return Enroll(context, *request, kBeginEnrollmentMethod, [this, context, request, response] {
      return forekey::BeginEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* FinishEnrollment(grpc::CallbackServerContext* context,
                                             const v1::FinishEnrollmentRequest* request,
                                             v1::FinishEnrollmentResponse* response) override {
    return Enroll(context, *request, kFinishEnrollmentMethod, [this, context, request, response] {
      return forekey::FinishEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override {
    // What is longer than a plain opening holds further factors, and a password takes its time.
    if (request->payload().size() <= kPlainOpening && !OpeningsMayWait()) {
      return Finish(context, forekey::OpenSession(core_, *context, *request, response));
    }
    return OpenLater(context, kOpenSessionMethod, [this, context, request, response] {
      return forekey::OpenSession(core_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* ResumeSession(grpc::CallbackServerContext* context,
                                          const v1::ResumeSessionRequest* request,
                                          v1::OpenSessionResponse* response) override {
    // It writes to the registry, which other replicas may hold.
    return OpenLater(context, kResumeSessionMethod, [this, context, request, response] {
      return forekey::ResumeSession(core_, answered_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* OpenChildSession(grpc::CallbackServerContext* context,
                                             const v1::OpenChildSessionRequest* request,
                                             v1::OpenSessionResponse* response) override {
    return Finish(context, forekey::OpenChildSession(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* EndSession(grpc::CallbackServerContext* context,
                                       const v1::EndSessionRequest* request,
                                       v1::EndSessionResponse* response) override {
    // Where sessions are resumed, an end is written to the registry.
    if (!core_.config().sessions.resumption) {
      return Finish(context, forekey::EndSession(core_, *context, *request, response));
    }
    // A logout holds here at once, whether there is a thread for the rest of it or not.
    auto caller = CallerOf(core_, *context, kEndSessionMethod);
    if (!caller.ok()) return Finish(context, ToGrpc(caller.status()));
    const bool ended = core_.peers().EndSessionHere(*caller);
    return FinishLater(
        endings_, context, kEndSessionMethod,
        [this, context, caller = *std::move(caller), ended, request, response] {
          if (ending_.load(std::memory_order_acquire) && context->IsCancelled()) {
            return EndedHereAlone(core_, caller, context->peer());
          }
          return Give(core_.peers().EndSession(caller, ended, *request, context->peer()), response);
        });
  }
  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context,
                                   const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override {
    return Finish(context, forekey::WhoAmI(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* ReauthenticateCall(grpc::CallbackServerContext* context,
                                               const v1::ReauthenticateCallRequest* request,
                                               v1::ReauthenticateCallResponse* response) override {
    return Finish(context, forekey::ReauthenticateCall(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* GetRequirements(grpc::CallbackServerContext* context,
                                            const v1::GetRequirementsRequest* request,
                                            v1::GetRequirementsResponse* response) override {
    return Finish(context, forekey::GetRequirements(core_, *context, *request, response));
  }

 private:
  // Whether any opening has to ask a registry that is elsewhere.
  bool OpeningsMayWait() const {
    return core_.config().sessions.resumption && core_.RegistryMayWait();
  }
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  template <typename Request>
  grpc::ServerUnaryReactor* Enroll(grpc::CallbackServerContext* context, const Request& request,
                                   absl::string_view method, std::function<grpc::Status()> work) {
    if (grpc::Status admitted = AdmitEnrollment(core_, answered_, *context, request);
        !admitted.ok()) {
      return Finish(context, admitted);
    }
    const std::string host = HostKey(context->peer());
    if (!enrolling_.Enter(host)) return Finish(context, ToGrpc(NoPlace(core_, *context, method)));
    // There is room in the queue for whoever has a place.
    return FinishLater(enrollments_, context, method,
                       [this, host, work = InTime(context, method, "enrolment", std::move(work))] {
                         absl::Cleanup leave = [&] { enrolling_.Leave(host); };
                         return work();
                       });
  }

  // Context, request and response live until the reactor has finished, cancelled or not. A full
  // queue refuses at once.
  grpc::ServerUnaryReactor* FinishLater(Worker& worker, grpc::CallbackServerContext* context,
                                        absl::string_view method,
                                        std::function<grpc::Status()> work) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!worker.Submit([reactor, work = std::move(work)] { reactor->Finish(work()); })) {
      reactor->Finish(ToGrpc(core_.refusals().Tell(
          Refuse(Reason::kRateLimited, "too many requests that take long wait already"), method,
          context->peer())));
    }
    return reactor;
  }

  // A resumption that came late would be a second use of its ticket, and end the session that its
  // client has got elsewhere meanwhile.
  grpc::ServerUnaryReactor* OpenLater(grpc::CallbackServerContext* context,
                                      absl::string_view method,
                                      std::function<grpc::Status()> work) {
    return FinishLater(openings_, context, method,
                       InTime(context, method, "opening", std::move(work)));
  }

  // `work`, when its turn comes: nothing is done for who is gone, or has waited for so long that
  // few still wait. `what` it is, for the audit log.
  std::function<grpc::Status()> InTime(grpc::CallbackServerContext* context,
                                       absl::string_view method, absl::string_view what,
                                       std::function<grpc::Status()> work) {
    const BootTime came = core_.clock().BootNow();
    return [this, context, method, what, came, work = std::move(work)] {
      if (context->IsCancelled()) return CallerIsGone();
      const absl::Duration waited = core_.clock().BootNow() - came;
      if (waited <= CallGate::kLongestWait) return work();
      return ToGrpc(core_.refusals().Tell(
          Refuse(Reason::kStoreUnavailable,
                 absl::StrCat("the ", what, " waited for ", absl::FormatDuration(waited),
                              ": the registry is too slow for all who ask")),
          method, context->peer()));
    };
  }

  GateCore& core_;
  const Answered answered_;
  const std::atomic<bool>& ending_;
  HostPlaces enrolling_{kWaitingEnrollments, kWaitingOfOneAddress};
  Worker enrollments_;
  Worker openings_;
  // Apart, so that who logs out waits for nobody who comes.
  Worker endings_{kWaitingForRegistry, kSpareOpenings};
};

GateServices::GateServices(GateCore* core, Answered answered)
    : core_(core), answered_(std::move(answered)) {}
GateServices::~GateServices() = default;

namespace {

// What was registered is protected: for derived classes.
bool HasCallbackService(grpc::ServerBuilder& builder) {
  struct Registered : grpc::ServerBuilder {
    static auto Get() { return &Registered::services; }
  };
  for (const auto* named : (builder.*Registered::Get())()) {
    if (named->service->has_callback_methods()) return true;
  }
  return false;
}

}  // namespace

void GateServices::Register(grpc::ServerBuilder& builder, ServerApi api) {
  if (api == ServerApi::kAuto) {
    api = HasCallbackService(builder) ? ServerApi::kCallback : ServerApi::kSync;
  }
  if (api == ServerApi::kCallback) {
    callback_ = std::make_unique<Callback>(core_, answered_, ending_);
    builder.RegisterService(callback_.get());
  } else {
    sync_ = std::make_unique<Sync>(core_, answered_);
    builder.RegisterService(sync_.get());
  }
}

}  // namespace forekey
